"""Draw docs/state-machine.md from the tables in distconv.core."""

from collections import defaultdict

from distconv.core import task_states
from distconv.core.states import TABLE, TERMINAL, Command, JobEvent, JobState
from distconv.core.task_states import TaskEvent, TaskState


def state_machine() -> str:
    """Return the page: a diagram, the table, and what events and commands mean."""
    lines = [
        "# The life of a job",
        "",
        "Drawn from the table in `distconv.core.states` by `make gen`; do not edit.",
        "Every move is stored in the transaction that causes it. A pair of state and event that",
        "is not here is refused with `ILLEGAL_TRANSITION`.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> PENDING",
    ]
    arrows: dict[tuple[JobState, JobState], list[str]] = defaultdict(list)
    for (state, event), transition in TABLE.items():
        arrows[state, transition.state].append(event.name)
    lines += [f"    {a} --> {b}: {', '.join(events)}" for (a, b), events in arrows.items()]
    lines += [f"    {state} --> [*]" for state in JobState if state in TERMINAL]
    lines += ["```", "", "| state | event | next state | commands |", "| --- | --- | --- | --- |"]
    for state in JobState:
        for event in JobEvent:
            if (found := TABLE.get((state, event))) is not None:
                commands = ", ".join(c.name for c in found.commands) or "—"
                lines.append(f"| {state} | {event.name} | {found.state} | {commands} |")
    lines += ["", "| event | means that |", "| --- | --- |"]
    lines += [f"| {event.name} | {event.value} |" for event in JobEvent]
    lines += ["", "| command | asks to |", "| --- | --- |"]
    lines += [f"| {command.name} | {command.value} |" for command in Command]
    lines += [
        "",
        "A job that is COMPLETED is not retried. Its output is published: others may read it, or",
        "have made it their source, and were told that it is whole; what is published never",
        "changes, and a job has one output at most. Whoever wants another one creates another job",
        "on the same source, which stays; it is probed once for both.",
    ]
    lines += _tasks()
    return "\n".join(lines) + "\n"


def _tasks() -> list[str]:
    lines = [
        "",
        "## The life of a task",
        "",
        "A task is what one engine does in one go; it moves in the same transaction as its job.",
        "From `distconv.core.task_states`.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> READY",
        "    [*] --> BLOCKED",
    ]
    arrows: dict[tuple[TaskState, TaskState], list[str]] = defaultdict(list)
    for (state, event), target in task_states.TABLE.items():
        arrows[state, target].append(event.name)
    lines += [f"    {a} --> {b}: {', '.join(events)}" for (a, b), events in arrows.items()]
    lines += [f"    {state} --> [*]" for state in TaskState if state.is_terminal]
    lines += ["```", "", "| event | means that |", "| --- | --- |"]
    lines += [f"| {event.name} | {event.value} |" for event in TaskEvent]
    return lines
