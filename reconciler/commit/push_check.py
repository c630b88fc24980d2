"""Whether a remote would take a push, without changing anything there."""

from reconciler.commit.repository import Repository
from reconciler.errors import TrimtabError


def push_problem(repository: Repository) -> str:
    """Why the remote would not take a push to the fleet's branch; empty when it would.

    A dry run of pushing what is there already: it needs the right to push, and moves nothing. What a server's hooks would
    say is only known by pushing.
    """
    ref = f"refs/heads/{repository.branch}"
    words = ("push", "--dry-run", "--porcelain", "--end-of-options", repository.remote.url, f"{repository.head}:{ref}")
    try:
        done = repository.client.run(*words, remote=True)
    except TrimtabError as error:
        return error.message
    return "" if done.status == 0 else (done.err.strip().splitlines() or ["git push --dry-run failed"])[-1]
