"""Which containers are a group's, what others are made like, and who goes first."""

from typing import Any

from reconciler.agent.docker.members import leaving_order, members, template_of


def listed(name: str, created: int, *, state: str = "running", status: str = "Up", **labels: str) -> dict[str, Any]:
    named = {f"trimtab.{key.replace('_', '-')}": value for key, value in labels.items()}
    return {
        "Id": f"id-{name}",
        "Names": [f"/other/{name}", f"/{name}"],
        "State": state,
        "Status": status,
        "Created": created,
        "Labels": named,
    }


def test_a_group_is_who_says_so_in_this_pool() -> None:
    found = members(
        [
            listed("b", 2, group="web"),
            listed("a", 1, group="web", host_pool="web-pool"),
            listed("other-pool", 0, group="web", host_pool="other"),
            listed("other-group", 0, group="api"),
            {**listed("plain", 0), "Labels": None},
        ],
        "web-pool",
        "web",
    )
    assert [member.name for member in found] == ["a", "b"]


def test_the_template_is_the_labelled_one_else_the_oldest_that_a_person_made() -> None:
    ours = listed("web-1", 1, group="web", command="c")
    old, new = listed("old", 2, group="web"), listed("new", 3, group="web")
    chosen = {**new, "Labels": new["Labels"] | {"trimtab.template": "true"}}

    def template(*some: dict[str, Any]) -> str:
        found = template_of(members(some, "p", "web"))
        return found.name if found else ""

    assert template(ours, new, old) == "old"
    assert template(ours, chosen, old) == "new"
    assert template(ours) == "web-1"
    assert template() == ""


def test_the_sick_go_first_then_the_newest_of_ours_and_the_template_last() -> None:
    some = [
        listed("template", 9, group="web", template="true"),
        listed("by-hand", 1, group="web"),
        listed("web-2", 5, group="web", command="c"),
        listed("web-10", 5, group="web", command="c"),
        listed("web-1", 7, group="web", command="d"),
        listed("sick", 2, group="web", status="Up 2 minutes (unhealthy)"),
    ]
    order = [member.name for member in leaving_order(members(some, "p", "web"))]
    assert order == ["sick", "web-1", "web-10", "web-2", "by-hand", "template"]
