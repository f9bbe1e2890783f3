"""TLS between a real server and a real channel: who trusts whom, and what a wrong file is told."""

from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.conftest import lacking

from certificates import Certificate, make_certificate
from distconv.core.errors import InvalidArgumentError, UnavailableError
from distconv.rpc.channel import open_channel
from distconv.rpc.errors import translated
from distconv.rpc.server import ServerSettings, start_server
from distconv.rpc.tls import ServerTls, load_ca
from servers import MissingServerError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


def made(folder: Path, **options: str) -> Certificate:
    try:
        return make_certificate(folder, **options)
    except MissingServerError as error:
        lacking(error)


@pytest.fixture(scope="module")
def certificate(folder: Path) -> Certificate:
    return made(folder)


async def ask(certificate: Certificate, tls_ca: bytes | None) -> int:
    """Return what a server with a certificate tells a client that trusts `tls_ca`."""
    tls = ServerTls.load(certificate.cert, certificate.key)
    server = await start_server(ServerSettings(bind="127.0.0.1:0", tls=tls), [])
    try:
        async with open_channel(server.address, tls_ca=tls_ca) as channel:
            with translated(server.address):
                answer = await health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=10
                )
            return int(answer.status)
    finally:
        await server.stop()


async def test_a_client_that_trusts_the_certificate_gets_through(certificate):
    assert (
        await ask(certificate, load_ca(certificate.cert)) == health_pb2.HealthCheckResponse.SERVING
    )


async def test_a_client_in_the_clear_does_not_and_is_told_what_it_may_lack(certificate):
    with pytest.raises(
        UnavailableError, match=r"if it serves with TLS, say what signed .*--tls-ca"
    ):
        await ask(certificate, None)


async def test_nor_one_that_trusts_another(certificate, folder):
    other = made(folder, stem="other")
    with pytest.raises(
        UnavailableError, match=r"TLS with the server at .* failed .self signed certificate"
    ) as caught:
        await ask(certificate, load_ca(other.cert))
    assert "in the clear" not in caught.value.message


async def test_a_certificate_for_another_host_is_refused(folder):
    elsewhere = made(folder, stem="elsewhere", names="DNS:example.org")
    with pytest.raises(UnavailableError, match=r"Hostname.*the host that the certificate names"):
        await ask(elsewhere, load_ca(elsewhere.cert))


async def test_a_server_in_the_clear_is_told_from_one_that_is_away(certificate):
    server = await start_server(ServerSettings(bind="127.0.0.1:0"), [])
    async with open_channel(server.address, tls_ca=load_ca(certificate.cert)) as channel:
        with (
            pytest.raises(UnavailableError, match="most likely it serves in the clear: leave out"),
            translated(server.address),
        ):
            await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=10
            )
    await server.stop()


async def test_without_files_it_serves_in_the_clear():
    assert ServerTls.load(None, None) is None
    assert load_ca(None) is None


async def test_a_certificate_without_its_key_is_told(certificate):
    with pytest.raises(InvalidArgumentError, match="tls_cert is set and tls_key is not"):
        ServerTls.load(certificate.cert, None)
    with pytest.raises(InvalidArgumentError, match="tls_key is set and tls_cert is not"):
        ServerTls.load(None, certificate.key)


async def test_a_key_of_another_certificate_is_told(certificate, folder):
    other = made(folder, stem="another")
    with pytest.raises(InvalidArgumentError, match="its own key"):
        ServerTls.load(certificate.cert, other.key)


async def test_files_that_are_missing_or_none_are_told(certificate, folder):
    text = folder / "text.pem"
    text.write_text("no certificate")
    for wrong in (text, folder / "none.pem"):
        with pytest.raises(InvalidArgumentError, match=wrong.name):
            load_ca(wrong)
        with pytest.raises(InvalidArgumentError, match=wrong.name):
            ServerTls.load(wrong, certificate.key)
