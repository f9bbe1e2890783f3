"""Run the real system through every flow of the contract and write what went over the wire.

Starts dispatch (with storage in it) and an engine as child processes on free
ports, a recording proxy before them, and plays the client; the messages go to
docs/protocol-examples.md. Ids, times and speeds differ from run to run, so the
page is no part of `make verify`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import imageio_ffmpeg
from google.protobuf.message import Message

from distconv.client import Client, DistconvError, Job, JobState
from distconv.core.clock import SystemClock
from distconv.core.ids import new_id
from distconv.rpc.channel import bearer_metadata, open_channel
from distconv.v1 import dispatch_service_pb2 as dispatch_pb
from distconv.v1 import engine_pb2, job_pb2, object_pb2
from distconv.v1 import engine_service_pb2 as session_pb
from distconv.v1 import storage_service_pb2 as storage_pb
from distconv.v1.dispatch_service_pb2_grpc import DispatchServiceStub
from distconv.v1.engine_service_pb2_grpc import EngineServiceStub
from distconv.v1.storage_service_pb2_grpc import StorageServiceStub
from wireshow import shown
from wiretap import Call, Wiretap

PAGE = Path(__file__).resolve().parent.parent / "docs" / "protocol-examples.md"
_HEAD = """# Protocol examples

Real messages of every flow, recorded by `python tools/capture_examples.py` from a real run. What
they mean: [protocol.md](protocol.md).

They are shown as protobuf JSON with the contract's field names. Fields with their default value
are left out, as on the wire. Tokens, ids and digests are shortened, bytes are counted, long lists
end with how many more there are. "↑" goes to the server, "↓" comes from it.
"""
_PATIENCE_S = 60.0


class Page:
    """The page as it grows."""

    def __init__(self) -> None:
        self._lines = [_HEAD]

    def section(self, title: str, *sentences: str) -> None:
        """Begin a section."""
        self._lines += [f"## {title}", "", *sentences, ""]

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self._lines += [text, ""]

    def message(self, arrow: str, what: str, message: Message) -> None:
        """Add one message."""
        self._lines += [f"{arrow} `{what}`", "", "```json", shown(message), "```", ""]

    def call(self, call: Call) -> None:
        """Add a call with all its messages."""
        self.some(call, call.sent)

    def some(self, call: Call, sent: Iterable[object]) -> None:
        """Add messages of a call."""
        name = call.method.rpartition("/")[2]
        for item in call.sent:
            if item in sent:
                kind = type(item.message).__name__
                what = f"{name}: {kind}" if kind == "Status" else kind
                self.message("↑" if item.up else "↓", what, item.message)

    def text(self) -> str:
        """Return the page."""
        return "\n".join(self._lines).rstrip() + "\n"


class Capture:
    """A running system with a proxy before it, one for the client and one for the engines."""

    def __init__(self, folder: Path, client_tap: Wiretap, engine_tap: Wiretap) -> None:
        self.folder = folder
        self.client_tap = client_tap
        self.engine_tap = engine_tap
        self.page = Page()
        self.engine: asyncio.subprocess.Process | None = None

    # --- upload, job, session --------------------------------------------------------------

    async def transcode(self, client: Client) -> str:
        """Upload, create and watch a job while an engine does it; return the output's name."""
        page, tap = self.page, self.client_tap
        source = _clip(self.folder / "clip.mkv", seconds=3, size="640x360", font=True)
        stored = await client.upload(source)
        page.section(
            "Upload a source",
            "The client asks dispatch for access to a new object, opens an upload at storage,",
            "sends chunks and hears which ranges are durable, and completes it.",
        )
        page.call(tap.of("DispatchService.GrantMediaAccess")[0])
        page.call(tap.of("StorageService.CreateUpload")[0])
        page.call(tap.of("StorageService.Write")[0])
        page.call(tap.of("StorageService.CompleteUpload")[0])

        job = await client.create_job(
            source=stored, profile="h264-480p", file_name="clip.mkv", request_id="holiday-1"
        )
        watching = asyncio.create_task(_end_of(client, job.name))
        await tap.until(lambda: tap.of("DispatchService.WatchJob"))
        await self.start_engine()
        ended = await watching
        page.section("Create and watch a job", "No engine is connected yet when the job is made.")
        page.call(tap.of("DispatchService.CreateJob")[0])
        watch = tap.of("DispatchService.WatchJob")[0]
        page.say(
            "`WatchJob` then sends a whole snapshot whenever the job changes. Here is the first of "
            "each state, without what the answer above shows already."
        )
        page.message("↑", "WatchJobRequest", watch.messages(up=True)[0])
        self._snapshots(watch)

        session = self.engine_tap.of("EngineService.Connect")[0]
        page.section(
            "An engine's session",
            "From Hello to the acknowledgement of the second result: the probe, then the transcode",
            "of the job above. Repeated heartbeats are left out.",
        )
        self._session(session)
        page.say(
            "Meanwhile the runner read the source from storage, and wrote the output there. It "
            "does not know the size beforehand, and has the file finished: the answer reports what "
            "was found in it, which is what the result above tells dispatch."
        )
        page.call(self.engine_tap.of("StorageService.CreateUpload")[0])
        page.call(self.engine_tap.of("StorageService.CompleteUpload")[0])
        assert ended.output is not None  # noqa: S101  # the job completed
        return ended.output.object

    def _snapshots(self, watch: Call) -> None:
        seen: set[int] = set()
        for message in watch.messages(up=False):
            if not isinstance(message, dispatch_pb.WatchJobResponse):
                continue
            if message.job.state in seen:
                continue
            seen.add(message.job.state)
            copy = dispatch_pb.WatchJobResponse.FromString(message.SerializeToString())
            _clear(copy.job, "profile_spec", "tenant", "creator", "etag", "max_retries", "profile")
            if len(seen) > 1:
                _clear(copy.job, "source", "create_time")
            self.page.message("↓", "WatchJobResponse", copy)

    def _session(self, session: Call) -> None:
        heartbeats = 0
        phases: set[int] = set()
        passed_acks = 0
        for item in session.sent:
            message = item.message
            if isinstance(message, session_pb.EngineMessage) and message.HasField("heartbeat"):
                now = {r.phase for r in message.heartbeat.attempts}
                heartbeats += 1
                if heartbeats > 1 and now <= phases:
                    continue
                phases |= now
                passed_acks = heartbeats
            if isinstance(message, session_pb.DispatchMessage) and message.HasField(
                "heartbeat_ack"
            ):
                if passed_acks < 1:
                    continue
                passed_acks = 0
            kind = message.WhichOneof("message") if not _is_status(message) else "Status"
            arrow, who = ("↑", "EngineMessage") if item.up else ("↓", "DispatchMessage")
            self.page.message(arrow, f"{who}.{kind}", message)
            if _acknowledges_transcode(message, session):
                return

    # --- reads, cancel, failure ------------------------------------------------------------

    async def read(self, object_name: str) -> None:
        """Read two ranges on one stream, then one beyond the end."""
        page = self.page
        async with open_channel(self.client_tap.address) as channel:
            access = await self._access(object_name, object_pb2.MEDIA_ACTION_READ)
            storage = StorageServiceStub(channel)
            metadata = bearer_metadata(access.token)
            for ranges in (((0, 1000), (4096, 300_000)), ((1 << 40, 10),)):
                call = storage.Read(metadata=metadata)
                for offset, length in ranges:
                    wanted = object_pb2.ByteRange(offset=offset, length=length)
                    await call.write(storage_pb.ReadRequest(object=object_name, range=wanted))
                await call.done_writing()
                with suppress(Exception):
                    async for _ in call:
                        pass
        whole, beyond = self.client_tap.of("StorageService.Read")[-2:]
        page.section(
            "Read ranges",
            "Two ranges are asked for on one stream; the second needs two chunks. The first answer",
            "describes the object.",
        )
        page.call(whole)
        page.say("A range behind the end:")
        page.call(beyond)

    async def _access(
        self, name: str, action: object_pb2.MediaAction.ValueType
    ) -> object_pb2.MediaAccess:
        async with open_channel(self.client_tap.address) as channel:
            request = dispatch_pb.GrantMediaAccessRequest(action=action, object=name)
            answer = await DispatchServiceStub(channel).GrantMediaAccess(request)
        return answer.access

    async def cancel(self, client: Client) -> None:
        """Cancel a job while its encoder runs, and give one back by ending the engine."""
        page = self.page
        source = _clip(self.folder / "long.mkv", seconds=20, size="1280x720")
        stored = await client.upload(source)
        job = await client.create_job(source=stored, profile="av1-720p", file_name="long.mkv")
        await _until_encoding(client, job.name)
        before = len(self.client_tap.calls)
        session = self.engine_tap.of("EngineService.Connect")[-1]
        mark = len(session.sent)
        await client.cancel_job(job.name)
        await self.engine_tap.until(lambda: _acks(session, mark))
        page.section(
            "Cancel a job",
            "The client is answered as soon as the move is stored. The engine is told, ends",
            'ffmpeg, and says so. `accepted` is true for "this is how the attempt ended".',
        )
        cancelled = self.client_tap.of("DispatchService.CancelJob", since=before)[0]
        page.message("↑", "CancelJobRequest", cancelled.messages(up=True)[0])
        answer = cancelled.messages(up=False)[0]
        assert isinstance(answer, dispatch_pb.CancelJobResponse)  # noqa: S101
        _clear(answer.job, "profile_spec", "source", "progress")
        page.message("↓", "CancelJobResponse", answer)
        self._told(session, mark)
        page.say("A job that has ended cannot be cancelled twice over, unless it was cancelled:")
        done = [j async for j in client.list_jobs(filter="state = COMPLETED")]
        with suppress(DistconvError):
            await client.cancel_job(done[0].name)
        page.call(self.client_tap.of("DispatchService.CancelJob")[-1])

        again = await client.create_job(source=stored, profile="av1-720p", file_name="long.mkv")
        await _until_encoding(client, again.name)
        mark = len(session.sent)
        await self.stop_engine()
        await self.engine_tap.until(lambda: session.ended)
        page.section(
            "An engine shuts down in the middle of its work",
            "SIGTERM: it stops its runners, gives back what they did not finish, waits for the",
            "acknowledgement and leaves. The job is PENDING again; no failure is counted.",
        )
        self._told(session, mark)
        await client.cancel_job(again.name)

    def _told(self, session: Call, mark: int) -> None:
        for item in session.sent[mark:]:
            message = item.message
            if _is_status(message):
                continue
            kind = message.WhichOneof("message")
            if kind in ("heartbeat", "heartbeat_ack", "log_excerpt"):
                continue
            who = "EngineMessage" if item.up else "DispatchMessage"
            self.page.message("↑" if item.up else "↓", f"{who}.{kind}", message)

    async def fail(self, client: Client) -> None:
        """Let a job fail: a Matroska cut in half."""
        page = self.page
        whole = (self.folder / "clip.mkv").read_bytes()
        half = self.folder / "half.mkv"
        half.write_bytes(whole[: len(whole) // 2])
        stored = await client.upload(half)
        session = self.engine_tap.of("EngineService.Connect")[-1]
        mark = len(session.sent)
        job = await client.create_job(source=stored, profile="h264-480p", file_name="half.mkv")
        await _end_of(client, job.name)
        await self.engine_tap.until(lambda: _acks(session, mark))
        page.section(
            "A job fails",
            "The source is a Matroska cut in half, on which ffmpeg would end with exit code 0. The",
            "probe finds it. The failure is not retryable, so the job ends at once.",
        )
        result = next(
            s.message
            for s in session.sent[mark:]
            if isinstance(s.message, session_pb.EngineMessage)
            and s.message.HasField("attempt_result")
        )
        page.message("↑", "EngineMessage.attempt_result", result)
        last = self.client_tap.of("DispatchService.WatchJob")[-1].messages(up=False)[-1]
        assert isinstance(last, dispatch_pb.WatchJobResponse)  # noqa: S101
        _clear(last.job, "profile_spec")
        page.message("↓", "WatchJobResponse", last)
        page.say("`ListTasks` keeps the history: which engine, why it, how it ended.")
        await client.list_tasks(job.name)
        page.call(self.client_tap.of("DispatchService.ListTasks")[-1])

    async def resume(self, client: Client) -> None:
        """Break an upload off in the middle and see it go on."""
        page = self.page
        source = self.folder / "noise.mkv"
        source.write_bytes(os.urandom(1_500_000))
        before = len(self.client_tap.calls)
        self.client_tap.break_after = 4
        stored = await client.upload(source)
        page.section(
            "Resume an upload after a break",
            "The connection breaks after four chunks of six. The client asks what arrived and",
            "sends the rest.",
        )
        for method in ("CreateUpload", "Write", "GetUpload", "Write", "CompleteUpload"):
            calls = self.client_tap.of(f"StorageService.{method}", since=before)
            page.call(calls[0])
            before = self.client_tap.calls.index(calls[0]) + 1
        await client.delete_object(stored.name)

    async def refuse(self, client: Client) -> None:
        """Play an engine that comes back without its attempt, and tells its result."""
        page, tap = self.page, self.engine_tap
        source = await client.upload(self.folder / "clip.mkv")
        await client.create_job(source=source, profile="h264-480p", file_name="clip.mkv")
        engine_id = new_id(SystemClock().now())
        mark = len(tap.calls)
        async with open_channel(tap.address) as channel:
            stub = EngineServiceStub(channel)
            first = stub.Connect()
            await first.write(_hello(engine_id))
            old = await _assignment(first)
            await first.write(_reply(old))
            first.cancel()

            second = stub.Connect()
            await second.write(_hello(engine_id, _report(old)))
            await second.read()
            third = stub.Connect()
            await third.write(_hello(engine_id))
            new = await _assignment(third)
            with suppress(Exception):
                while await second.read():
                    pass
            await third.write(_result(old))
            await tap.until(lambda: _acks(tap.of("EngineService.Connect", since=mark)[-1], 0))
            await third.write(_beat(_report(old), _report(new)))
            await tap.until(
                lambda: any(
                    _is(m, "heartbeat_ack")
                    for m in tap.of("EngineService.Connect", since=mark)[-1].messages(up=False)
                )
            )
            third.cancel()
        calls = tap.of("EngineService.Connect", since=mark)
        page.section(
            "Re-attach, a second session, and a stale result",
            "An engine takes a probe and loses its connection. Its next Hello lists the attempt",
            "under its fencing token: it is re-attached, `stale_attempts` stays empty.",
        )
        for message in calls[1].sent[:2]:
            page.message(
                "↑" if message.up else "↓", type(message.message).__name__, message.message
            )
        page.say(
            "A third stream with the same engine id, whose Hello lists no attempt. The second ends:"
        )
        page.some(calls[1], [s for s in calls[1].sent if _is_status(s.message)])
        page.say(
            "The attempt that the Hello did not list is lost; its task is assigned anew, under "
            "another attempt and a higher fencing token. A result for the old one is refused, and "
            "a heartbeat that still lists it hears that it is stale."
        )
        for item in calls[2].sent:
            if not _is_status(item.message):
                kind = item.message.WhichOneof("message")
                who = "EngineMessage" if item.up else "DispatchMessage"
                page.message("↑" if item.up else "↓", f"{who}.{kind}", item.message)

    async def refuse_arguments(self) -> None:
        """Ask for things that are wrong."""
        page = self.page
        page.section("Errors", "What is wrong is named for programs, too.")
        async with open_channel(self.client_tap.address) as channel:
            stub = DispatchServiceStub(channel)
            source = job_pb2.JobSource(object=f"objects/{new_id(SystemClock().now())}")
            source.file_name = "clip.mkv"
            for job in (
                job_pb2.Job(source=source, profile="profiles/h264-720p", priority=500),
                job_pb2.Job(source=source, profile="profiles/h264-721p"),
            ):
                with suppress(Exception):
                    await stub.CreateJob(dispatch_pb.CreateJobRequest(job=job))
                page.call(self.client_tap.of("DispatchService.CreateJob")[-1])
            with suppress(Exception):
                await stub.PauseJob(dispatch_pb.PauseJobRequest(name="jobs/01k9"))
            page.call(self.client_tap.of("DispatchService.PauseJob")[-1])

    # --- engine ----------------------------------------------------------------------------

    async def start_engine(self) -> None:
        """Start the real engine behind its proxy."""
        self.engine = await _child(
            "distconv.engine.main",
            *("--dispatch", self.engine_tap.address, "--name", "workshop", "--slots", "1"),
            *("--data-dir", str(self.folder / "engine")),
        )

    async def stop_engine(self) -> None:
        """End the engine as its user would."""
        if self.engine is not None:
            with suppress(ProcessLookupError):
                self.engine.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self.engine.wait(), _PATIENCE_S)
            self.engine = None


def _clear(message: Message, *names: str) -> None:
    for name in names:
        message.ClearField(name)


def _is_status(message: Message) -> bool:
    return message.DESCRIPTOR.full_name == "google.rpc.Status"


def _is(message: Message, kind: str) -> bool:
    return not _is_status(message) and message.WhichOneof("message") == kind


def _acks(session: Call, mark: int) -> bool:
    return any(_is(s.message, "result_ack") for s in session.sent[mark:] if not s.up)


def _acknowledges_transcode(message: Message, session: Call) -> bool:
    transcodes = {
        m.assignment.attempt
        for m in session.messages(up=False)
        if isinstance(m, session_pb.DispatchMessage) and m.assignment.HasField("transcode")
    }
    return (
        isinstance(message, session_pb.DispatchMessage)
        and message.HasField("result_ack")
        and message.result_ack.attempt in transcodes
    )


def _hello(engine_id: str, *attempts: session_pb.AttemptReport) -> session_pb.EngineMessage:
    tool = engine_pb2.TranscoderInfo(
        name="ffmpeg", version="7.1", encoders=["libx264", "aac"], muxers=["mp4"]
    )
    return session_pb.EngineMessage(
        hello=session_pb.Hello(
            engine_id=engine_id,
            display_name="attic",
            version="0.1.0",
            slot_count=1,
            attempts=attempts,
            capabilities=engine_pb2.EngineCapabilities(transcoders=[tool]),
        )
    )


def _report(work: session_pb.Assignment) -> session_pb.AttemptReport:
    return session_pb.AttemptReport(
        attempt=work.attempt,
        fencing_token=work.fencing_token,
        phase=session_pb.ATTEMPT_PHASE_STARTING,
    )


def _reply(work: session_pb.Assignment) -> session_pb.EngineMessage:
    return session_pb.EngineMessage(
        assignment_reply=session_pb.AssignmentReply(
            attempt=work.attempt, fencing_token=work.fencing_token, accepted=True
        )
    )


def _beat(*attempts: session_pb.AttemptReport) -> session_pb.EngineMessage:
    return session_pb.EngineMessage(heartbeat=session_pb.Heartbeat(attempts=attempts))


def _result(work: session_pb.Assignment) -> session_pb.EngineMessage:
    return session_pb.EngineMessage(
        attempt_result=session_pb.AttemptResult(
            attempt=work.attempt,
            fencing_token=work.fencing_token,
            failure=job_pb2.Failure(
                reason="STALLED", message="no progress for 120 s", retryable=True
            ),
        )
    )


async def _assignment(call: object) -> session_pb.Assignment:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            message = await call.read()  # type: ignore[attr-defined]
            if message.HasField("assignment"):
                assignment: session_pb.Assignment = message.assignment
                return assignment


async def _end_of(client: Client, name: str) -> Job:
    async with asyncio.timeout(_PATIENCE_S):
        async for job in client.watch_job(name):
            last = job
    return last


async def _until_encoding(client: Client, name: str) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        async for job in client.watch_job(name):
            if job.state is JobState.TRANSCODING:
                return
    raise RuntimeError(f"{name} was over before it could be stopped; make the clip longer")


def _clip(path: Path, *, seconds: int, size: str, font: bool = False) -> Path:
    """Make a clip with sound; with a font attached, which an MP4 cannot hold."""
    attached: tuple[str, ...] = ()
    if font:
        letters = path.with_name("letters.ttf")
        letters.write_bytes(b"\0\1\0\0" + bytes(200))
        attached = ("-attach", str(letters), "-metadata:s:t", "mimetype=font/ttf")
    command = (
        imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y",
        "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration={seconds}",
        "-f", "lavfi", "-i", f"sine=duration={seconds}",
        "-vf", "noise=alls=6:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac",
        *attached, str(path),
    )  # fmt: skip
    subprocess.run(command, check=True)
    return path


async def _child(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, "--exit-on-stdin-eof", "--log-level", "error", *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


@asynccontextmanager
async def _system(folder: Path) -> AsyncIterator[Capture]:
    async with AsyncExitStack() as stack:
        dispatch = await _child(
            "distconv.dispatch.main", "--bind", "127.0.0.1:0", "--data-dir", str(folder / "data")
        )
        stack.push_async_callback(_end, dispatch)
        assert dispatch.stdout is not None  # noqa: S101  # a pipe
        line = await asyncio.wait_for(dispatch.stdout.readline(), _PATIENCE_S)
        address = json.loads(line)["address"]
        taps = Wiretap(address), Wiretap(address)
        for tap in taps:
            await tap.start()
            stack.push_async_callback(tap.stop)
        capture = Capture(folder, *taps)
        stack.push_async_callback(capture.stop_engine)
        yield capture


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


async def capture() -> str:
    """Go through every flow and return the page."""
    with tempfile.TemporaryDirectory() as name:
        async with _system(Path(name)) as system, Client(system.client_tap.address) as client:
            output = await system.transcode(client)
            await system.read(output)
            await system.fail(client)
            await system.cancel(client)
            await system.resume(client)
            await system.refuse(client)
            await system.refuse_arguments()
        return system.page.text()


def main() -> None:
    """Write the page."""
    PAGE.write_text(asyncio.run(capture()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PAGE.parent.parent)}")


if __name__ == "__main__":
    main()
