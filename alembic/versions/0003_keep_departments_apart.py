"""Keep departments apart, and write to who wants letters

Revision 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# lower case, without accents, punctuation and spaces
KEY = (
    "replace(regexp_replace(lower(regexp_replace(normalize(department, NFD), '[\\u0300-\\u036f]+', '', 'g')),"
    " '[!-/:-@\\u005b-\\u0060\\u007b-\\u007e[:space:]]+', ' ', 'g'), ' ', '')"
)


def upgrade() -> None:
    op.add_column(
        "case",
        sa.Column("department_key", sa.String(), sa.Computed(KEY, persisted=True), nullable=False),
    )
    op.add_column("person", sa.Column("by_letter", sa.Boolean(), server_default="false", nullable=False))
    op.alter_column("person", "by_letter", server_default=None)


def downgrade() -> None:
    op.drop_column("person", "by_letter")
    op.drop_column("case", "department_key")
