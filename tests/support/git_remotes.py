"""Real remotes for tests: bare repositories with a person's checkout, and Git's smart HTTP protocol with a password."""

import base64
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from support.fleets import git

FILES = {
    "trimtab.yaml": b"kind: Fleet\n",
    "clusters/prod/apps/web.yaml": b"kind: Deployment\n",
    "clusters/prod/apps/run.sh": b"#!/bin/sh\n",
}


@dataclass
class Shared:
    """``bare``: what everybody pushes to. ``work``: a person's checkout of it."""

    bare: Path
    work: Path

    @property
    def head(self) -> str:
        return git(self.bare, "rev-parse", "main")

    def show(self, path: str, revision: str = "main") -> bytes:
        return subprocess.run(
            ["git", "-C", str(self.bare), "show", f"{revision}:{path}"], check=True, capture_output=True
        ).stdout

    def paths(self, revision: str = "main") -> list[str]:
        return git(self.bare, "ls-tree", "-r", "--name-only", revision).splitlines()

    def person_commits(self, files: Mapping[str, bytes | None], message: str = "A person's work") -> str:
        """Commit on top of what is on the remote, and push; the new head."""
        git(self.work, "pull", "--quiet", "--ff-only", "origin", "main")
        write_files(self.work, files)
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--message", message)
        git(self.work, "push", "--quiet", "origin", "main")
        return self.head


def write_files(where: Path, files: Mapping[str, bytes | None]) -> None:
    for path, content in files.items():
        if content is None:
            (where / path).unlink()
            continue
        (where / path).parent.mkdir(parents=True, exist_ok=True)
        (where / path).write_bytes(content)


def make_shared(home: Path, files: Mapping[str, bytes | None] = FILES) -> Shared:
    """A bare repository with one commit on ``main``, ``run.sh`` executable."""
    shared = Shared(home / "fleet.git", home / "work")
    home.mkdir(parents=True, exist_ok=True)
    git(home, "init", "--quiet", "--bare", "--initial-branch=main", "fleet.git")
    git(home, "init", "--quiet", "--initial-branch=main", "work")
    git(shared.work, "remote", "add", "origin", str(shared.bare))
    write_files(shared.work, files)
    for script in shared.work.rglob("*.sh"):
        script.chmod(0o755)
    git(shared.work, "add", "--all")
    git(shared.work, "commit", "--quiet", "--message", "The fleet as people made it")
    git(shared.work, "push", "--quiet", "--set-upstream", "origin", "main")
    return shared


def add_hook(bare: Path, name: str, script: str) -> None:
    hook = bare / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)


@dataclass
class GitHttp:
    """``url`` of the directory that is served; ``asked``: each request as ``METHOD path user``."""

    url: str
    asked: list[str]


@contextmanager
def served(directory: Path, *, username: str, password: str) -> Iterator[GitHttp]:
    """Serve every repository below ``directory`` through ``git http-backend``, for one user."""
    asked: list[str] = []
    expected = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self._body())

        def log_message(self, *_: object) -> None:
            return

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _serve(self, body: bytes) -> None:
            given = self.headers.get("Authorization", "")
            asked.append(f"{self.command} {self.path} {'known' if given == expected else 'unknown' if given else '-'}")
            if given != expected:
                self._answer(401, {"WWW-Authenticate": 'Basic realm="fleet"'}, b"who are you?\n")
                return
            head, _, content = self._backend(body).partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self._answer(int(headers.pop("Status", "200").split()[0]), headers, content)

        def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def _backend(self, body: bytes) -> bytes:
            url = urlsplit(self.path)
            env = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(directory),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_GLOBAL": os.devnull,
                "REMOTE_USER": username,
                "REMOTE_ADDR": "127.0.0.1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": url.path,
                "QUERY_STRING": url.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            return subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True).stdout

    with _running(Handler) as url:
        yield GitHttp(url, asked)


@contextmanager
def redirecting(to: str) -> Iterator[str]:
    """The URL of a host that sends every request on to another one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{to}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with _running(Handler) as url:
        yield url


@contextmanager
def _running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
