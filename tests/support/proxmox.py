"""A Proxmox VE to talk to over HTTPS: `fakepve`, which keeps state and fails on demand, on a loopback port of its own."""

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from fakepve.certs import make_cert
from fakepve.server import FakeCt, FakePve, settle
from pydantic import SecretStr

from reconciler.actuate.proxmox import Proxmox
from reconciler.clock import fixed_clock
from support.replay import NOW

SECRET = "12345678-secret-of-the-token"
TOKEN = f"trimtab@pve!fleet={SECRET}"
PRIVILEGES = [
    "VM.Audit",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Disk",
    "VM.Config.Options",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
    "VM.Clone",
    "VM.Allocate",
    "VM.PowerMgmt",
    "Sys.Audit",
    "Datastore.AllocateSpace",
]
_HOST = "127.0.0.1"
_START_SECONDS = 30
_DRAIN_SECONDS = 3


@dataclass
class Pve:
    """``fake`` is the server's state; ``ca`` the certificate that it is verified by."""

    fake: FakePve
    ca: str
    clients: list[Proxmox] = field(default_factory=list)

    @property
    def url(self) -> str:
        return str(self.fake.url)

    @property
    def settings(self) -> dict[str, object]:
        """What a server is told of it."""
        return {"proxmox_url": self.url, "proxmox_token": SecretStr(TOKEN), "proxmox_verify": self.ca}

    def client(self, *, token: str = TOKEN, verify: str = "", at: datetime = NOW) -> Proxmox:
        """Ours, which does not pause between two looks at a task for longer than it takes to ask."""
        opened = Proxmox.open(self.url, token, verify or self.ca, clock=fixed_clock(at), pause=lambda _seconds: None)
        self.clients.append(opened)
        return opened

    def add(self, vmid: int, *, node: str = "pve1", status: str = "running", **config: object) -> FakeCt:
        """A container with 2 cores, 1024 MB and 8 GB, unless ``config`` says otherwise."""
        given = {"cores": 2, "memory": 1024, "hostname": f"ct{vmid}", **config}
        return self.fake.add_ct(vmid, node=node, status=status, config=given)

    def asked(self, method: str, ending: str) -> int:
        """How many requests there were for a path that ends so."""
        return sum(1 for one in self.fake.requests if one[0] == method and one[1].endswith(ending))

    def clear(self) -> None:
        """As it was at the start."""
        fake = self.fake
        fake.cts.clear(), fake.vms.clear(), fake.failures.clear(), fake.requests.clear(), fake.tasklog.clear()
        fake.nodes.clear()
        fake.nodes["pve1"] = {"online": True}
        fake.regain_quorum()
        fake.ceph_recover()
        fake.time_scale = 0.0
        fake.acl = None
        fake.grant("trimtab@pve!fleet", "/", *PRIVILEGES)


@contextmanager
def proxmox() -> Iterator[Pve]:
    """Serve one, with the node pve1 and the token :data:`TOKEN`, which may what Trimtab asks people to allow and no more."""
    with tempfile.TemporaryDirectory() as folder:
        cert, key, _ = make_cert(folder, hosts=(_HOST,))
        fake = FakePve(host=_HOST, port=0)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="fakepve", daemon=True)
        thread.start()
        fake.apitokens["trimtab@pve!fleet"] = SECRET
        pve = Pve(fake, cert)
        pve.clear()
        asyncio.run_coroutine_threadsafe(fake.start(cert, key), loop).result(_START_SECONDS)
        try:
            yield pve
        finally:
            for client in pve.clients:
                client.close()
            asyncio.run_coroutine_threadsafe(_stop(fake), loop).result(_START_SECONDS)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_START_SECONDS)
            loop.close()


async def _stop(fake: FakePve) -> None:
    """Until the last connection is gone, so that none is found unclosed later; those that linger are cut."""
    await settle()
    await fake.stop()
    if not await _drained(_DRAIN_SECONDS):
        for transport in list(asyncio.get_running_loop()._transports.values()):  # type: ignore[attr-defined]
            transport.abort()
        assert await _drained(_DRAIN_SECONDS), "a connection to fakepve does not end"


async def _drained(seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while len(loop._selector.get_map()) > 1:  # type: ignore[attr-defined] # one is the loop's own
                await asyncio.sleep(0.005)
            return True
    return False
