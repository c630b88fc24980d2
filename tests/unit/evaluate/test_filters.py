"""The filter language: what matches, and where a bad filter is wrong."""

import pytest

from reconciler.evaluate.filters import FilterError, FilterSubject, parse

WEB = FilterSubject(
    cluster="prod",
    node="node a",
    namespace="shop",
    controller_kind="Deployment",
    controller_name="web",
    container="server",
    pod="web-7d9-abc",
    provider="gce",
    services=("web", "web-canary"),
    labels={"app.kubernetes.io/name": "web", "team": "core", "env_name": "live", "path": r"a\b"},
    annotations={"example.com/owner": "ann"},
)
BARE = FilterSubject(cluster="prod", namespace="shop")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\r\n",
        'cluster:"prod"',
        'node:"node a"',
        'namespace:"shop","other"',
        'namespace!:"other","another"',
        'controllerKind:"deployment"',
        'controllerKind<~:"DEPLOY"',
        'controllerName:"web"',
        'container~:"erve"',
        'pod<~:"web-"',
        'pod~>:"-abc"',
        'pod!<~:"api-"',
        'pod!~>:"-xyz"',
        'pod!~:"zzz"',
        'provider:"gce"',
        'services:"web"',
        'services~:"web-canary"',
        'services<~:"web-c"',
        'services~>:"canary"',
        'services!:"api"',
        'services!~:"we"',
        'label:"team"',
        'label~:"team"',
        'label!:"owner"',
        'label<~:"app.kubernetes"',
        'label~>:"/name"',
        'label[team]:"core"',
        'label[team]!:"edge","data"',
        'label[team]~:"or"',
        'label[missing]:""',
        'label[missing]:"__unallocated__"',
        'label[missing]!:"x"',
        'annotation[example.com/owner]:"ann"',
        'team:"core"',
        'owner:"__unallocated__"',
        'namespace : "shop"\n+\tcluster\r:"prod"',
        '((namespace:"shop"))',
        'namespace:"x" | (namespace:"shop" + cluster:"prod") | pod:"y"',
        '(namespace:"x" | cluster<~:"pr") + services:"web"',
        r'label[path]:"a\b"',
    ],
)
def test_matches(text: str) -> None:
    assert parse(text).matches(WEB)


@pytest.mark.parametrize(
    "text",
    [
        'cluster:"Prod"',
        'namespace:"sho"',
        'namespace!:"shop","other"',
        'controllerKind!:"DEPLOYMENT"',
        'services:"we"',
        'services~:"canary"',
        'services!<~:"web"',
        'services:""',
        'label:"core"',
        'label!:"team"',
        'label~:"tea"',
        'label[team]!:"edge","core"',
        'label[missing]:"x"',
        'environment:"live"',
        'namespace:"shop" + cluster:"dev"',
        'namespace:"x" | cluster:"dev"',
    ],
)
def test_does_not_match(text: str) -> None:
    assert not parse(text).matches(WEB)


@pytest.mark.parametrize(
    "text",
    [
        'label[app.kubernetes.io/name]:"web"',
        'label[app_kubernetes_io_name]:"web"',
        'label[env_name]:"live"',
        'label[env.name]:"live"',
        'label:"app_kubernetes_io_name"',
        'label:"env.name"',
        'label<~:"app_kubernetes"',
        'label~>:"_name"',
        'annotation[example_com_owner]:"ann"',
    ],
)
def test_both_spellings_of_a_label_name(text: str) -> None:
    assert parse(text).matches(WEB)


ALIASED = FilterSubject(
    labels={"env": "live", "app": "checkout", "owner": ""},
    annotations={"team": "core", "env": "old", "owner": "ann", "department": "sales"},
)


@pytest.mark.parametrize(
    "text",
    [
        'environment:"live"',
        'product:"checkout"',
        'team:"core"',
        'department~>:"les"',
        'owner:""',
        'team!:"edge","data"',
        'product<~:"check"',
    ],
)
def test_an_alias_reads_a_label_and_without_one_the_annotation(text: str) -> None:
    assert parse(text).matches(ALIASED)


@pytest.mark.parametrize("text", ['environment:"old"', 'owner:"ann"', 'team:"__unallocated__"', 'product!:"checkout"'])
def test_an_alias_reads_no_annotation_beside_a_label(text: str) -> None:
    assert not parse(text).matches(ALIASED)


def test_the_name_of_an_alias_wins_over_what_kubecost_ships_with() -> None:
    both = FilterSubject(labels={"environment": "own", "env": "shipped", "product": "own", "app": "shipped"})
    assert parse('environment:"own" + product:"own"').matches(both)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('namespace:"a" + (label[pod]:"b" | team:"c")', ""),
        ("", ""),
        ('namespace:"a" + (pod!:"b" | cluster:"c")', "asks for pod, which reads as empty"),
        ('services:"a" | node:"b" | services:"c"', "asks for node and services, which read as empty"),
    ],
)
def test_what_only_a_running_pod_has_is_said_to_be_unknown(text: str, said: str) -> None:
    caution = parse(text).caution
    assert said in caution
    assert bool(caution) == bool(said)


def test_the_exact_spelling_wins() -> None:
    both = FilterSubject(labels={"a.b": "dotted", "a_b": "sanitized", "a-b": "dashed"})
    assert parse('label[a.b]:"dotted"').matches(both)
    assert parse('label[a_b]:"sanitized"').matches(both)
    assert not parse('label[a.b]:"dashed"').matches(FilterSubject(labels={"a-b": "dashed"}))


def test_a_namespace_alone_can_be_asked_about() -> None:
    assert parse('namespace:"shop" + label[missing]:""').matches(BARE)
    assert parse('services:""').matches(BARE)
    assert not parse('services<~:""').matches(BARE)
    assert not parse('controllerKind:"Deployment"').matches(BARE)


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ('namespce:"web"', 1, "did you mean namespace?"),
        ('controllerkind:"job"', 1, "did you mean controllerKind?"),
        ('zone:"a"', 1, "fields are cluster, node"),
        ('namespace:"a" + team1:"b"', 17, "unknown field 'team1'"),
        ('namespace:"a" +\n  nam:"b"', 19, "unknown field 'nam'"),
        ("namespace:web", 11, "'web' is found where a value in double quotes"),
        ("namespace:'web'", 11, "values are written in double quotes"),
        ('namespace:"web', 11, "never closed"),
        ('namespace:"a",', 15, "the filter ends where a value"),
        ("namespace", 10, "the filter ends where an operator"),
        ('namespace="web"', 10, "= is no operator"),
        ('namespace!"web"', 10, "! is no operator"),
        ('namespace~>"web"', 10, "operators are : !: ~:"),
        ('namespace.:"web"', 10, "'.' is not expected here"),
        ('namespace[app]:"web"', 10, "takes no key in brackets"),
        ('services[app]:"web"', 9, "takes no key in brackets"),
        ('label[app:"web"', 6, "never closed"),
        ('label[]:"web"', 7, "is no key of a label"),
        ('label["app"]:"web"', 7, "without quotes"),
        ('label[a][b]:"web"', 9, "an operator"),
        ('namespace:"a" namespace:"b"', 15, "where + or | is expected"),
        ('namespace:"a" & cluster:"b"', 15, "write + for and"),
        ('namespace:"a" || cluster:"b"', 16, "where a comparison"),
        ('namespace:"a" | pod:"b" + cluster:"c"', 25, "mixed without parentheses"),
        ('namespace:"a" + pod:"b" | cluster:"c"', 25, "mixed without parentheses"),
        ('(namespace:"a" + pod:"b" | cluster:"c")', 26, "mixed without parentheses"),
        ('(namespace:"a"', 15, "a closing )"),
        ('(namespace:"a"))', 16, "this ) has no ("),
        ("()", 2, "where a comparison"),
        ("+", 1, "where a comparison"),
        ("(" * 51 + 'pod:"a"' + ")" * 51, 51, "more than 50 parentheses deep"),
        ("(" * 4000, 51, "more than 50 parentheses deep"),
        ("x" * 4097, 4097, "at most 4096"),
    ],
)
def test_a_bad_filter_is_pointed_at(text: str, column: int, says: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert caught.value.column == column
    assert f"column {column}: " in str(caught.value)
    assert says in str(caught.value)


def test_the_caret_is_below_the_place() -> None:
    with pytest.raises(FilterError) as caught:
        parse('namespace:"a" + namspace:"b"')
    assert caught.value.message.splitlines()[1:] == [
        '  namespace:"a" + namspace:"b"',
        "                  ^",
    ]


def test_a_long_filter_is_shown_around_the_place() -> None:
    with pytest.raises(FilterError) as caught:
        parse(f'namespace:"{"a" * 3000}" + oops:"{"b" * 900}"')
    _, shown, caret = caught.value.message.splitlines()
    assert len(shown) < 70
    assert shown[caret.index("^") :].startswith("oops")


def test_parentheses_in_values_do_not_count_as_depth() -> None:
    deep = "(" * 50 + 'pod:"' + "(" * 60 + '"' + ")" * 50
    assert parse(deep).matches(FilterSubject(pod="(" * 60))


def test_a_filter_of_full_length_is_read() -> None:
    text = " + ".join(['namespace!:"x"'] * 200)
    text += " " * (4096 - len(text))
    assert parse(text).matches(WEB)
