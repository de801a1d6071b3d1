"""What only people can do on a case: tasks, and their own words."""

from datetime import datetime

from strawberry import ID
from strawberry.scalars import JSON

from loket import handling, lifecycle, records
from loket.api.naming import input_type
from loket.api.objects.conditions import equal
from loket.api.objects.links import ItsCase
from loket.api.objects.people import StaffMember
from loket.api.reads import Node, column, condition, entity, expression, oldest, one, orders
from loket.api.visibility import staff_only
from loket.lifecycle import TaskStatus


def _role_of_task() -> str:
    kinds = ((role, ", ".join(f"'{kind}'" for kind in of_role)) for role, of_role in handling.TASKS.items())
    cases = " ".join(f"WHEN {{t}}.kind IN ({listed}) THEN '{role}'" for role, listed in kinds)
    return f"CASE {cases} ELSE '{lifecycle.Role.HANDLER}' END"


ROLE_OF_TASK = _role_of_task()
"""Whose a task is, out of the table that the verb looks in too."""


@entity(records.Task, policy=staff_only)
class Task(Node):
    """Something on a case that only a person can settle (taak)."""

    kind: str = column("What it is about.")
    role: lifecycle.Role = expression("Whose it is; an operator may settle any.", ROLE_OF_TASK)
    status: TaskStatus = column("Whether it is settled.")
    data: JSON = column("What there is to know.")
    opened_at: datetime = column("Since when.")
    done_at: datetime | None = column("When it was settled.")
    remark: str = column("How it was settled.")
    done_by: StaffMember | None = one("Who settled it.", on="done_by_id")
    case: ItsCase = one("On which case.", on="case_id", with_parent=True)


@entity(records.Note, policy=staff_only)
class Note(Node):
    """A handler's own words on a case."""

    text: str = column("The words.")
    created_at: datetime = column("When.")
    author: StaffMember = one("Whose.", on="staff_id", with_parent=True)


@input_type
class TaskFilter:
    """Which tasks."""

    status: TaskStatus | None = equal("Open or done.", "status")
    kind: str | None = equal("About this.", "kind")
    role: lifecycle.Role | None = condition("Of this role.", f"{ROLE_OF_TASK} = {{value}}")
    case: ID | None = condition("On this case.", "{t}.case_id = {value}", by_id="Case")


TASK_ORDER = orders(
    "TaskOrder", "In which order tasks come.", OLDEST=(oldest("opened_at"), "Longest waiting first.")
)
