"""Asking a Prometheus: what its answers become, and what a person is told when there is none."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.errors import Stalled, TrimtabError
from reconciler.observe.prometheus import Prometheus, PrometheusBusy, PrometheusSlow, TooMuch
from support.fake_prometheus import Answer, FakePrometheus, Series, fake_prometheus, refused

AT = datetime(2026, 6, 17, 10, 0, tzinfo=UTC)
QUERY = "max by (pod) (up{})"


@pytest.fixture(scope="module")
def server() -> Iterator[FakePrometheus]:
    with fake_prometheus() as fake:
        yield fake


@pytest.fixture
def fake(server: FakePrometheus) -> FakePrometheus:
    server.series, server.failures, server.warnings = [Series("up", {"pod": "a"}, 1.5)], [], []
    server.gets_only = False
    server.asked.clear()
    return server


def failing(fake: FakePrometheus, failure: Answer | str, **options: object) -> TrimtabError:
    fake.failures = [failure]
    with Prometheus(fake.url, **options) as prometheus, pytest.raises(TrimtabError) as raised:  # type: ignore[arg-type]
        prometheus.query(QUERY, AT)
    return raised.value


def test_an_instant_query_gives_a_point_for_each_series(fake: FakePrometheus) -> None:
    fake.series.append(Series("up", {"pod": "b"}, float("nan")))
    with Prometheus(fake.url) as prometheus:
        one, other = prometheus.query(QUERY, AT)
    assert (dict(one.labels), one.value) == ({"pod": "a"}, 1.5)
    assert other.value != other.value
    assert fake.asked[0].last == int(AT.timestamp())


def test_a_range_query_gives_columns(fake: FakePrometheus) -> None:
    begin = int(AT.timestamp())
    fake.series = [Series("up", {"pod": "a"}, lambda second: (second - begin) / 10)]
    with Prometheus(fake.url) as prometheus:
        (line,) = prometheus.query_range(QUERY, AT, AT + timedelta(minutes=10), 300)
    assert line.seconds.tolist() == [begin, begin + 300, begin + 600]
    assert line.values.tolist() == [0.0, 30.0, 60.0]


def test_what_the_server_says_beside_an_answer_is_kept_once(fake: FakePrometheus) -> None:
    fake.warnings = ["store 10.0.0.7 is away: the answer is partial"]
    with Prometheus(fake.url) as prometheus:
        prometheus.query(QUERY, AT)
        prometheus.query(QUERY, AT)
        assert prometheus.warnings == ["store 10.0.0.7 is away: the answer is partial"]


def test_credentials_are_sent_and_never_shown(fake: FakePrometheus) -> None:
    address = fake.url.removeprefix("http://")
    with Prometheus(f"http://me:s3cret@{address}") as prometheus:
        prometheus.query(QUERY, AT)
        assert prometheus.url == fake.url
    with Prometheus(fake.url, token="t0ken") as prometheus:
        prometheus.query(QUERY, AT)
    basic, bearer = (asked.headers["Authorization"] for asked in fake.asked)
    assert (basic, bearer) == (f"Basic {base64.b64encode(b'me:s3cret').decode()}", "Bearer t0ken")
    error = failing(fake, (403, b"token t0ken is not allowed"), token="t0ken")
    assert "t0ken" not in str(error) and "token *** is not allowed" in str(error)


@pytest.mark.parametrize(
    ("failure", "expected", "words"),
    [
        (
            refused(503, "query timed out in expression evaluation", "timeout"),
            PrometheusSlow,
            "cannot answer now (503)",
        ),
        (refused(429, "slow down"), PrometheusBusy, "429"),
        ("broken off", PrometheusBusy, "broke off"),
        (refused(422, "query processing would load too many samples into memory"), TooMuch, "too large"),
        (refused(400, "exceeded maximum resolution of 11,000 points per timeseries"), TooMuch, "11,000 points"),
        ((413, b"<html>too large</html>"), TooMuch, "413"),
        (refused(400, "parse error: unexpected end"), Stalled, "parse error"),
        (refused(401, "no"), Stalled, "does not let us in"),
        ((404, b"<html>not found</html>"), Stalled, "does not speak the API"),
        ((200, b"<html>Sign in</html>"), Stalled, "does not speak the API"),
        ((200, b'{"status":"success","data":{"resultType":"vector"}}'), Stalled, "does not speak the API"),
        ((200, b'{"status":"error","errorType":"internal","error":"oh"}'), Stalled, "oh"),
        ((200, b'{"hello": "world"}'), Stalled, "does not speak the API"),
        ((400, b"Client sent an HTTP request to an HTTPS server."), Stalled, "speaks https only"),
        ("https://sso.example.com/sign-in?state=s3cret", Stalled, "(308, it leads to https://sso.example.com/sign-in)"),
        ("half", Stalled, "half an answer"),
    ],
)
def test_each_failure_says_what_happens_next(
    fake: FakePrometheus, failure: Answer | str, expected: type[TrimtabError], words: str
) -> None:
    error = failing(fake, failure)
    assert type(error) is expected
    assert words in error.message
    assert fake.url in error.message
    assert error.hint
    assert "<html" not in error.message


def test_a_server_that_does_not_answer_is_left_after_a_while(fake: FakePrometheus) -> None:
    error = failing(fake, "hang", timeout=0.2)
    assert isinstance(error, PrometheusSlow)
    assert "longer than 0.2 s" in error.message


def test_a_server_that_has_moved_is_named(fake: FakePrometheus) -> None:
    error = failing(fake, "https://prometheus.example.com/prometheus/api/v1/query?token=s3cret")
    assert (error.hint, "s3cret" in str(error)) == ("give the address https://prometheus.example.com/prometheus", False)


def test_https_where_only_http_is_spoken_is_said(fake: FakePrometheus) -> None:
    with Prometheus(fake.url.replace("http:", "https:")) as prometheus, pytest.raises(Stalled) as raised:
        prometheus.query(QUERY, AT)
    assert "does not speak https" in raised.value.message
    assert "http://" in (raised.value.hint or "")


def test_what_only_lets_reads_through_is_read(fake: FakePrometheus) -> None:
    fake.gets_only = True
    with Prometheus(fake.url) as prometheus:
        assert [point.value for point in prometheus.query(QUERY, AT)] == [1.5]
        assert [point.value for point in prometheus.query(QUERY, AT)] == [1.5]


@pytest.mark.parametrize("path", ["/graph", "/api/v1", "/api/v1/query", "/", "/api/v1/query_range/"])
def test_the_address_may_be_that_of_the_page_or_of_a_question(fake: FakePrometheus, path: str) -> None:
    with Prometheus(fake.url + path) as prometheus:
        assert prometheus.url == fake.url
        assert prometheus.query(QUERY, AT)


@pytest.mark.parametrize("path", ["/prometheus", "/api/prom", "/select/0/prometheus"])
def test_a_path_in_front_stays(path: str) -> None:
    assert Prometheus(f"https://host{path}/").url == f"https://host{path}"


def test_nobody_there_is_to_be_tried_again() -> None:
    with Prometheus("http://127.0.0.1:9") as prometheus, pytest.raises(PrometheusBusy, match="cannot be reached"):
        prometheus.query(QUERY, AT)


def test_an_answer_without_end_is_not_read(fake: FakePrometheus) -> None:
    fake.series = [Series("up", {"pod": f"pod-{number}"}, number) for number in range(2000)]
    with (
        Prometheus(fake.url, answer_bytes=1 << 16) as prometheus,
        pytest.raises(TooMuch, match="longer than 0.0625 MiB"),
    ):
        prometheus.query(QUERY, AT)


@pytest.mark.parametrize(
    "url", ["prometheus:9090", "ftp://me:s3cret@host", "https://", "http://host?key=s3cret", "http://host:s3cret"]
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(Stalled) as raised:
        Prometheus(url)
    assert "s3cret" not in str(raised.value)


def test_a_token_with_a_line_break_is_refused_without_repeating_it(fake: FakePrometheus) -> None:
    with pytest.raises(Stalled) as raised:
        Prometheus(fake.url, token="s3c\nret")
    assert "s3c" not in str(raised.value)
