"""Order cases by department

Revision 0010, after 0009.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TWO_MORE = {
    "case_of_department": ["department_key", "submitted_at", "id"],
    "case_queue_of_department": ["department_key", "status", "submitted_at", "id"],
}


def upgrade() -> None:
    for name, columns in TWO_MORE.items():
        op.create_index(name, "case", columns)


def downgrade() -> None:
    for name in TWO_MORE:
        op.drop_index(name, table_name="case")
