"""Filters, orders, pages, totals and masks of the lists of jobs, tasks and engines."""

from collections.abc import Awaitable
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from distconv.core.errors import DistconvError, InvalidArgumentError, NotFoundError
from distconv.rpc.auth import TENANT_KEY
from distconv.rpc.errors import translated
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import engine_pb2, job_pb2

from .conftest import Farm


async def _error(call: Awaitable[object]) -> DistconvError:
    with pytest.raises(DistconvError) as caught, translated():
        await call
    return caught.value


async def _names(farm: Farm, text: str, order: str = "") -> list[str]:
    found = await farm.client.ListJobs(pb.ListJobsRequest(filter=text, order_by=order))
    return [job.name for job in found.jobs]


async def _named(farm: Farm, file_name: str, **labels: str) -> str:
    request = farm.request()
    request.job.source.file_name = file_name
    request.job.labels.update(labels)
    await farm.pass_time(seconds=1)
    return (await farm.client.CreateJob(request)).job.name


async def test_jobs_are_found_by_what_is_known_of_them(farm: Farm) -> None:
    beach = await _named(farm, "Holiday at the Beach.mov", show="summer", year="2030")
    middle = farm.clock.now()
    snow = await _named(farm, "holiday_snow.mov", show="winter", note='say "hi"')
    await farm.client.CancelJob(pb.CancelJobRequest(name=snow))
    assert await _names(farm, "text : HOLIDAY") == [snow, beach]
    assert await _names(farm, 'text : "beach holiday"') == [beach]
    assert await _names(farm, "text:beach") == [beach]
    assert await _names(farm, "labels.show = summer") == [beach]
    assert await _names(farm, "labels.show = summer AND labels.year = 2030") == [beach]
    assert await _names(farm, r'labels.note = "say \"hi\""') == [snow]
    assert await _names(farm, "labels.show = autumn") == []
    assert await _names(farm, "state = PENDING OR state = CANCELLED") == [snow, beach]
    assert await _names(farm, "state = PENDING AND state = CANCELLED") == []
    time = middle.isoformat()
    assert await _names(farm, f"create_time > {time}") == [snow]
    assert await _names(farm, f"create_time >= {time}") == [snow, beach]
    assert await _names(farm, f"create_time <= {time} AND create_time > 2029-12-31") == [beach]
    assert await _names(farm, "text : holiday AND state = CANCELLED") == [snow]


async def test_a_list_says_why_each_of_its_jobs_waits_in_a_bounded_number_of_reads(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    await farm.engine()
    running = await farm.job()
    await farm.until_state(running.name, job_pb2.JOB_STATE_ASSIGNED)
    waiting = [await farm.job() for _ in range(3)]
    asked = farm.request()
    asked.job.engine_tags.append("gpu")
    tagged = (await farm.client.CreateJob(asked)).job
    monkeypatch.setattr(farm.store, "list_tasks", None)  # one by one
    listed = (await farm.client.ListJobs(pb.ListJobsRequest())).jobs
    reasons = {job.name: job.wait_reason for job in listed}
    assert reasons.pop(running.name) == ""
    assert "gpu" in reasons.pop(tagged.name)
    assert reasons == dict.fromkeys([job.name for job in waiting], "its slot is busy")


async def test_jobs_are_found_by_the_engine_that_had_them(farm: Farm) -> None:
    engine = await farm.engine()
    mine = await farm.job()
    await engine.next_assignment()
    await farm.job()
    assert await _names(farm, f"engine = {engine.name}") == [mine.name]
    tasks = pb.ListTasksRequest(parent="jobs/-", filter=f"engine = {engine.id}")
    assert [t.state for t in (await farm.client.ListTasks(tasks)).tasks] == [
        job_pb2.TASK_STATE_LEASED
    ]
    error = await _error(farm.client.ListJobs(pb.ListJobsRequest(filter="engine = zzz")))
    assert isinstance(error, NotFoundError)


async def test_a_filter_may_name_another_tenant(farm: Farm) -> None:
    job = await farm.job()
    request = pb.ListJobsRequest(filter="tenant = local")
    found = await farm.client.ListJobs(request, metadata=((TENANT_KEY, "acme"),))
    assert [j.name for j in found.jobs] == [job.name]


@pytest.mark.parametrize("order", ["priority", "priority desc", "end_time", "end_time desc"])
async def test_pages_follow_any_order(farm: Farm, order: str) -> None:
    names = []
    for k in (3, 1, 2, 3, 1):
        await farm.pass_time(seconds=1)
        names.append((await farm.job(priority=k)).name)
    for name in (names[2], names[0], names[1]):
        await farm.pass_time(seconds=1)
        await farm.client.CancelJob(pb.CancelJobRequest(name=name))
    whole = await _names(farm, "", order)
    paged: list[str] = []
    token = ""
    while True:
        request = pb.ListJobsRequest(
            order_by=order, page_size=2, page_token=token, with_total_size=True
        )
        page = await farm.client.ListJobs(request)
        assert page.total_size == len(whole)
        paged += [job.name for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert paged == whole
    ended = [names[2], names[0], names[1]]
    expected = {
        "priority": [1, 1, 2, 3, 3],
        "priority desc": [3, 3, 2, 1, 1],
        "end_time": ended,
        "end_time desc": ended[::-1],
    }[order]
    if "priority" in order:
        assert [(await farm.get(name)).priority for name in paged] == expected
    else:
        assert paged == expected
    other = pb.ListJobsRequest(page_size=2, order_by=order)
    token = (await farm.client.ListJobs(other)).next_page_token
    request = pb.ListJobsRequest(order_by="create_time", page_token=token)
    assert (await _error(farm.client.ListJobs(request))).metadata["field"] == "page_token"


async def test_tasks_are_listed_of_one_job_and_of_all(farm: Farm) -> None:
    engine = await farm.engine()
    first, second = await farm.job(), await farm.job()
    await engine.next_assignment()
    of_one = await farm.client.ListTasks(
        pb.ListTasksRequest(parent=first.name, page_size=1, with_total_size=True)
    )
    assert [t.kind for t in of_one.tasks] == [job_pb2.TASK_KIND_PROBE]
    assert of_one.total_size == 2
    rest = await farm.client.ListTasks(
        pb.ListTasksRequest(parent=first.name, page_token=of_one.next_page_token)
    )
    assert [t.kind for t in rest.tasks] == [job_pb2.TASK_KIND_TRANSCODE]
    assert rest.tasks[0].requirement == "encoder=aac encoder=libx264 muxer=mp4"
    assert rest.next_page_token == ""
    every = await farm.client.ListTasks(pb.ListTasksRequest(parent="jobs/-"))
    assert len(every.tasks) == 4
    leased = await farm.client.ListTasks(
        pb.ListTasksRequest(
            parent="jobs/-",
            filter="state = LEASED OR state = READY",
            with_total_size=True,
            read_mask=FieldMask(paths=["name"]),
        )
    )
    assert leased.total_size == 2
    assert all(t == job_pb2.Task(name=t.name) for t in leased.tasks)
    assert {t.name.partition("/tasks/")[0] for t in leased.tasks} == {first.name, second.name}


async def test_tasks_are_listed_by_what_is_known_of_their_jobs(farm: Farm) -> None:
    engine = await farm.engine()
    first, second = farm.request(), farm.request()
    first.job.labels["album"] = "summer"
    names = []
    for request in (first, second):
        names.append((await farm.client.CreateJob(request)).job.name)
        await farm.pass_time(seconds=1)
    await engine.next_assignment()

    async def listed(condition: str, order_by: str = "", parent: str = "jobs/-") -> list[str]:
        """Return the tasks' jobs, read a task a page."""
        found, token = list[str](), ""
        while True:
            page = await farm.client.ListTasks(
                pb.ListTasksRequest(
                    parent=parent,
                    filter=condition,
                    order_by=order_by,
                    page_size=1,
                    page_token=token,
                )
            )
            found += [task.name.partition("/tasks/")[0] for task in page.tasks]
            if not (token := page.next_page_token):
                return found

    one, two = names
    assert await listed("") == [two, two, one, one]
    assert await listed("", "create_time") == [one, one, two, two]
    assert await listed("labels.album = summer") == [one, one]
    assert await listed(f"engine = {engine.name}") == [one]
    assert await listed(f'text : "{first.job.source.file_name}" AND state = BLOCKED') == [two, one]
    assert await listed(f"profile = {first.job.profile}", "create_time") == [one, one, two, two]
    assert await listed("create_time > 2040-01-01") == []
    assert await listed("tenant = else") == []
    assert await listed("labels.album = summer", "create_time desc", parent=one) == [one, one]
    assert await listed("labels.album = winter", parent=one) == []


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListTasksRequest(parent="jobs/-", order_by="priority"), "order_by"),
        (pb.ListTasksRequest(parent="jobs/-", page_size=-1), "page_size"),
        (pb.ListTasksRequest(parent="jobs/-", page_token="x"), "page_token"),
        (pb.ListTasksRequest(parent="jobs/-", filter="kind = PROBE"), "filter"),
        (pb.ListTasksRequest(parent="jobs/-", read_mask=FieldMask(paths=["no"])), "read_mask"),
        (pb.ListTasksRequest(parent="engines/-"), "name"),
    ],
)
async def test_bad_lists_of_tasks_are_named(
    farm: Farm, request_: pb.ListTasksRequest, field: str
) -> None:
    error = await _error(farm.client.ListTasks(request_))
    assert isinstance(error, InvalidArgumentError)
    assert error.field == field


async def test_engines_are_filtered_ordered_and_paged(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = []
    for _ in range(3):
        engines.append(await farm.engine())
        await farm.pass_time(seconds=1)
    names = [engine.name for engine in engines]
    request = pb.ListEnginesRequest(page_size=2, with_total_size=True, order_by="name desc")
    first = await farm.client.ListEngines(request)
    assert [e.name for e in first.engines] == names[:0:-1]
    assert first.total_size == 3
    request.page_token = first.next_page_token
    assert [e.name for e in (await farm.client.ListEngines(request)).engines] == names[:1]
    # The newest first, without an order; what they hold comes in one query.
    asked: list[tuple[str, ...]] = []
    list_live = farm.store.list_live_attempts

    async def count(*ids: str) -> Any:
        asked.append(ids)
        return await list_live(*ids)

    monkeypatch.setattr(farm.store, "list_live_attempts", count)
    newest = (await farm.client.ListEngines(pb.ListEnginesRequest())).engines
    assert [e.name for e in newest] == names[::-1]
    assert [len(ids) for ids in asked] == [3]
    for name, since in (("create_time", newest[1].create_time), ("connect_time", None)):
        time = (since or newest[1].connect_time).ToDatetime().isoformat()
        later = pb.ListEnginesRequest(filter=f"{name} > {time}")
        assert [e.name for e in (await farm.client.ListEngines(later)).engines] == names[2:]
        earlier = pb.ListEnginesRequest(filter=f"{name} <= {time}")
        assert [e.name for e in (await farm.client.ListEngines(earlier)).engines] == names[1::-1]
    text = pb.ListEnginesRequest(filter=f'text : "BOX {engines[1].id[-3:]}"')
    assert [e.name for e in (await farm.client.ListEngines(text)).engines] == names[1:2]
    none = pb.ListEnginesRequest(filter="tag = gpu")
    assert not (await farm.client.ListEngines(none)).engines
    masked = pb.ListEnginesRequest(read_mask=FieldMask(paths=["state"]), page_size=1)
    only = (await farm.client.ListEngines(masked)).engines[0]
    assert only == engine_pb2.Engine(state=engine_pb2.ENGINE_STATE_ONLINE)
    for wrong, field in (
        (pb.ListEnginesRequest(order_by="cpu"), "order_by"),
        (pb.ListEnginesRequest(filter="cpu = 4"), "filter"),
        (pb.ListEnginesRequest(read_mask=FieldMask(paths=["no"])), "read_mask"),
        (pb.ListEnginesRequest(page_token="x"), "page_token"),
    ):
        error = await _error(farm.client.ListEngines(wrong))
        assert isinstance(error, InvalidArgumentError)
        assert error.field == field
