"""Importing usage: what is kept, what is refused, and how a person is told which row it was."""

import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import InputError
from reconciler.model.observation import SeriesKey
from reconciler.observe.usage_batch import BadUsage, UsageBatch
from reconciler.observe.usage_import import read_usage
from reconciler.observe.usage_json import locate

HEADER = "timestamp,cluster,namespace,kind,name,container,cpu_cores,memory_bytes\n"
ROW = "2026-06-16T10:00:00Z,prod,shop,Deployment,web,server,0.25,1000000\n"

Sample = tuple[str, str, str, str, str, str, int, float]


def written(folder: Path, text: str, name: str = "usage.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def series_text(key: SeriesKey) -> tuple[str, str, str, str, str, str]:
    workload = key.workload
    return (workload.cluster, workload.namespace, workload.kind, workload.name, key.container, key.resource)


def samples_of(batches: Iterable[UsageBatch]) -> list[Sample]:
    """Every sample as a row, sorted."""
    rows: list[Sample] = []
    for batch in batches:
        columns = batch.samples
        assert len(set(columns.series)) == len(columns.series)
        for index, second, value in zip(columns.index, columns.seconds, columns.values, strict=True):
            rows.append((*series_text(columns.series[index]), int(second), float(value)))
    return sorted(rows)


def errors_of(path: Path, **options: str) -> list[str]:
    return [str(error) for batch in read_usage(path, keep_going=True, **options) for error in batch.errors]


def test_a_row_is_a_cpu_and_a_memory_sample(tmp_path: Path) -> None:
    second = int(datetime(2026, 6, 16, 10, tzinfo=UTC).timestamp())
    assert samples_of(read_usage(written(tmp_path, HEADER + ROW))) == [
        ("prod", "shop", "Deployment", "web", "server", "cpu", second, 0.25),
        ("prod", "shop", "Deployment", "web", "server", "memory", second, 1e6),
    ]


def test_columns_may_stand_in_any_order_and_files_may_come_from_windows(tmp_path: Path) -> None:
    text = (
        "\ufeffmemory_bytes,cpu_cores,container,name,kind,namespace,cluster,timestamp\r\n"
        "1000000,0.25,server,web,Deployment,shop,prod,2026-06-16T10:00:00Z\r\n"
    )
    path = tmp_path / "windows.csv"
    path.write_bytes(text.encode())
    assert samples_of(read_usage(path)) == samples_of(read_usage(written(tmp_path, HEADER + ROW)))


def test_instants_with_an_offset_are_the_same_instants(tmp_path: Path) -> None:
    rows = [ROW.replace("10:00:00Z", stamp) for stamp in ("12:00:00+02:00", "10:00:00.250Z", "04:30:00-05:30")]
    samples = samples_of(read_usage(written(tmp_path, HEADER + "".join(rows))))
    assert {sample[6] for sample in samples} == {int(datetime(2026, 6, 16, 10, tzinfo=UTC).timestamp())}


def test_an_empty_value_is_no_sample(tmp_path: Path) -> None:
    rows = ROW.replace("0.25", "") + ROW.replace("1000000", "") + ROW.replace("0.25,1000000", ",")
    samples = samples_of(read_usage(written(tmp_path, HEADER + rows)))
    assert [sample[5] for sample in samples] == ["cpu", "memory"]


def test_kinds_are_spelled_as_kubernetes_does(tmp_path: Path) -> None:
    rows = ROW + ROW.replace("Deployment", "deployment") + ROW.replace("Deployment", "STATEFULSET")
    (batch,) = read_usage(written(tmp_path, HEADER + rows))
    assert [key.workload.kind for key in batch.samples.series] == ["Deployment"] * 2 + ["StatefulSet"] * 2
    assert len(batch.samples.values) == 6


def test_an_empty_cluster_is_the_one_given(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + ROW.replace("prod", ""))
    assert samples_of(read_usage(path, default_cluster="edge"))[0][0] == "edge"
    with pytest.raises(BadUsage, match="line 2: cluster: is empty"):
        list(read_usage(path))


BAD_VALUES = [
    ("cpu_cores", "0.25", "-0.1", "negative"),
    ("cpu_cores", "0.25", "nan", "not a number"),
    ("cpu_cores", "0.25", "inf", "not a number"),
    ("cpu_cores", "0.25", "1_0", "not a number"),
    ("cpu_cores", "0.25", "250m", "not a number"),
    ("cpu_cores", "0.25", "0x10", "not a number"),
    ("cpu_cores", "0.25", "250000", "unit is cores"),
    ("cpu_cores", "0.25", "1e400", "unit is cores"),
    ("memory_bytes", "1000000", "64Mi", "not a number"),
    ("memory_bytes", "1000000", "1e30", "unit is bytes"),
    ("timestamp", "2026-06-16T10:00:00Z", "2026-06-16T10:00:00", "RFC 3339"),
    ("timestamp", "2026-06-16T10:00:00Z", "2026-06-31T10:00:00Z", "calendar"),
    ("timestamp", "2026-06-16T10:00:00Z", "1718532000", "RFC 3339"),
    ("timestamp", "2026-06-16T10:00:00Z", "0001-01-01T00:00:00+23:00", "calendar|between"),
    ("kind", "Deployment", "Server", "none of Deployment"),
    ("namespace", "shop", "", "empty"),
    ("name", "web", "we b", "not a name"),
    ("container", "server", "x" * 300, "not a name"),
]


@pytest.mark.parametrize(("column", "good", "bad", "message"), BAD_VALUES)
def test_a_bad_value_is_told_by_line_and_column(tmp_path: Path, column: str, good: str, bad: str, message: str) -> None:
    path = written(tmp_path, HEADER + ROW * 3 + ROW.replace(good, bad) + ROW * 2)
    with pytest.raises(BadUsage, match=rf"usage\.csv:5.*\n.*line 5: {column}: .*({message})") as caught:
        next(read_usage(path))
    assert "--keep-going" in caught.value.hint
    assert len(samples_of(read_usage(path, keep_going=True))) == 10


def test_lines_are_those_of_an_editor_whatever_stands_before(tmp_path: Path) -> None:
    before = '\n"2026-06-16T10:00:00Z",prod,shop,Deployment,web,"ser\nver",1,1\n\n'
    path = written(tmp_path, HEADER + before + ROW + ROW.replace("0.25", "x") + "only,three,values\n")
    assert [error.split(": ", 1)[0] for error in errors_of(path)] == ["line 3", "line 7", "line 8"]


def test_a_quote_that_never_closes_is_told_and_the_rows_before_it_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + ROW * 2 + '"2026-06-16T10:00:00Z,prod\n' + ROW)
    assert len(samples_of(read_usage(path, keep_going=True))) == 4
    assert any("not CSV" in error for error in errors_of(path))


def test_bytes_that_are_not_utf8_are_told_by_line(tmp_path: Path) -> None:
    path = tmp_path / "latin1.csv"
    path.write_bytes(HEADER.encode() + ROW.encode() + ROW.replace("web", "wéb").encode("latin-1"))
    assert errors_of(path) == ["line 3: name: 'w\\udce9b' is not a name"]


def test_all_bad_rows_are_counted_and_the_first_twenty_shown(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + (ROW + ROW.replace("0.25", "-1")) * 30)
    with pytest.raises(BadUsage) as caught:
        list(read_usage(path))
    assert caught.value.count == 30
    assert [error.line for error in caught.value.errors] == list(range(3, 43, 2))
    assert "30 of 60 rows" in str(caught.value)
    assert "and 10 more" in str(caught.value)


def test_nothing_is_given_when_the_last_of_many_rows_is_bad(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + ROW * 60_000 + ROW.replace("0.25", "-1"))
    given_batches = []
    with pytest.raises(BadUsage, match="line 60002"):
        for batch in read_usage(path):
            given_batches.append(batch)
    assert given_batches == []


def test_a_long_file_comes_in_batches_that_lose_nothing(tmp_path: Path) -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC)
    stamps = [(start + timedelta(seconds=60 * i)).isoformat() for i in range(120_000)]
    rows = "".join(ROW.replace("2026-06-16T10:00:00Z", stamp) for stamp in stamps)
    batches = list(read_usage(written(tmp_path, HEADER + rows)))
    assert [batch.rows for batch in batches] == [50_000, 50_000, 20_000]
    cpu = np.concatenate([batch.samples.seconds[batch.samples.index == 0] for batch in batches])
    assert (np.diff(cpu) == 60).all()
    assert len(cpu) == 120_000


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace("cpu_cores", "cpu"), r"usage\.csv:1:7: cpu: 'cpu' is not a column"),
        (HEADER.replace(",memory_bytes", ""), "columns are missing: memory_bytes"),
        (HEADER.replace("\n", ",name\n"), "'name' is there twice"),
        ("\n", "columns are missing"),
    ],
)
def test_a_wrong_header_is_told_even_when_going_on(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_usage(written(tmp_path, header + ROW), keep_going=True))


def test_progress_goes_up_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = written(tmp_path, HEADER + ROW * 60_000)
    list(read_usage(path, on_progress=lambda done, total: told.append((done, total))))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1] == 2 * path.stat().st_size


def test_gzip_is_read_like_the_file_in_it(tmp_path: Path) -> None:
    plain = written(tmp_path, HEADER + ROW * 3)
    zipped = tmp_path / "usage.csv.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    assert samples_of(read_usage(zipped)) == samples_of(read_usage(plain))


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(HEADER.encode() + ROW.encode() * 900)[:-20]])
def test_broken_gzip_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "usage.csv.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a whole gzip file"):
        list(read_usage(path))


@pytest.mark.parametrize("name", ["usage.parquet", "usage", "usage.gz"])
def test_another_format_says_which_there_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"\.csv, \.json or \.jsonl"):
        list(read_usage(written(tmp_path, ROW, name)))


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(read_usage(tmp_path / "nowhere.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        list(read_usage(tmp_path / "folder.csv"))


finite = st.floats(0, 1000, allow_nan=False)
row_values = st.tuples(
    st.integers(978307200, 4102444800).map(lambda second: datetime.fromtimestamp(second, UTC)),
    st.sampled_from(["web", "api", "db"]),
    st.sampled_from(["server", "proxy"]),
    finite | st.none(),
    finite | st.none(),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(row_values, max_size=30))
def test_every_value_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple]) -> None:
    text, expected = HEADER, []
    for at, name, container, cpu, memory in rows:
        shown = ["" if value is None else repr(value) for value in (cpu, memory)]
        text += f"{at.isoformat()},prod,shop,Deployment,{name},{container},{shown[0]},{shown[1]}\n"
        for resource, value in (("cpu", cpu), ("memory", memory)):
            if value is not None:
                expected.append(("prod", "shop", "Deployment", name, container, resource, int(at.timestamp()), value))
    path = written(tmp_path_factory.mktemp("usage"), text)
    assert samples_of(read_usage(path)) == sorted(expected)


# --- push bodies ----------------------------------------------------------------------------------------------------

BODY = {
    "timestamp": "2026-06-16T10:00:00Z",
    "cluster": "prod",
    "pods": [
        {
            "namespace": "shop",
            "name": "web-1",
            "ownerKind": "Deployment",
            "ownerName": "web",
            "containers": [{"name": "server", "cpuMillicores": 120, "memoryMB": 90.5, "oomKills": 1}],
        }
    ],
    "nodes": [{"name": "node-1", "nodePool": "general", "cpuCapacityMillicores": 4000, "memoryCapacityMB": 16000}],
    "fromANewerAgent": {"ignored": True},
}


def test_one_body_a_list_and_lines_give_the_same(tmp_path: Path) -> None:
    files = [
        written(tmp_path, json.dumps(BODY, indent=2), "one.json"),
        written(tmp_path, json.dumps([BODY]), "list.json"),
        written(tmp_path, "\n" + json.dumps(BODY) + "\n\n", "lines.jsonl"),
    ]
    bodies = [body for path in files for batch in read_usage(path) for body in batch.bodies]
    assert len(bodies) == 3
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0].pods[0].containers[0].memory_mb == 90.5
    assert bodies[0].cluster == "prod"


def test_an_empty_list_is_nothing(tmp_path: Path) -> None:
    assert list(read_usage(written(tmp_path, " [ ]\n", "empty.json"))) == []


def test_a_body_without_cluster_takes_the_given_one_or_is_told(tmp_path: Path) -> None:
    body = {key: value for key, value in BODY.items() if key != "cluster"}
    path = written(tmp_path, json.dumps(BODY) + "\n" + json.dumps(body), "u.jsonl")
    (batch,) = read_usage(path, default_cluster="edge")
    assert [body.cluster for body in batch.bodies] == ["prod", "edge"]
    with pytest.raises(BadUsage, match="line 2: cluster: is missing"):
        list(read_usage(path))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2026-06-16T10:00:00"}, "timestamp"),
        ({"timestamp": "9000-01-01T00:00:00Z"}, "timestamp"),
        ({"pods": [{"namespace": "shop", "name": "x", "containers": [{"name": "s", "cpuMillicores": -1}]}]},
         "pods.0.containers.0.cpuMillicores"),
        ({"pods": [{"namespace": "shop", "name": "x", "containers": [{"name": "s", "cpuMillicores": 1e300}]}]},
         "pods.0.containers.0.cpuMillicores"),
        ({"pods": [{"name": "x"}]}, "pods.0.namespace"),
        ({"pods": "none"}, "pods"),
        ({"nodes": [{"name": "n"}, {"name": 5}]}, "nodes.1.name"),
        ({"nodes": [{"name": "\ud800"}]}, ""),
    ],
)  # fmt: skip
def test_a_bad_body_is_told_by_line_and_field(tmp_path: Path, change: dict[str, object], field: str) -> None:
    lines = [json.dumps(BODY), json.dumps({**BODY, **change}), json.dumps(BODY)]
    path = written(tmp_path, "\n".join(lines), "u.jsonl")
    (batch,) = read_usage(path, keep_going=True)
    assert [(error.line, error.field) for error in batch.errors] == [(2, field)]
    assert len(batch.bodies) == 2


def test_in_a_document_the_line_is_that_of_the_field(tmp_path: Path) -> None:
    good = json.dumps(BODY, indent=1)
    bad = json.dumps(BODY, indent=1).replace('"cpuMillicores": 120', '"cpuMillicores": "many"')
    text = f"[\n{good},\n{bad}\n]"
    wrong_line = text[: text.index('"many"')].count("\n") + 1
    (batch,) = read_usage(written(tmp_path, text, "u.json"), keep_going=True)
    assert [(error.line, error.field) for error in batch.errors] == [(wrong_line, "pods.0.containers.0.cpuMillicores")]


@pytest.mark.parametrize("line", ["{", "[1]", "5", '{"timestamp": NaN}', '{"timestamp": 1e999}', "[" * 100_000, '"'])
def test_a_line_that_is_no_body_is_told(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, json.dumps(BODY) + "\n" + line + "\n" + json.dumps(BODY), "u.jsonl")
    (batch,) = read_usage(path, keep_going=True)
    assert [error.line for error in batch.errors] == [2]
    assert len(batch.bodies) == 2


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "1:1"),
        ("[\n{}", "2:3"),
        ("[{},\n]", "2:1"),
        ("[{} {}]", "1:5"),
        ("{}\n{}", "2:1"),
        ("[]\n\n x", "3:2"),
        ('[{"a":\n NaN}]', ""),
        ("[" * 50_000, ""),
    ],
)
def test_broken_json_is_told_by_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    path = written(tmp_path, text, "u.json")
    with pytest.raises(InputError, match=rf"u\.json:{place}.*not JSON"):
        list(read_usage(path, keep_going=True))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def paths_in(value: object) -> list[tuple[int | str, ...]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [(), *((key, *rest) for key, inner in items for rest in paths_in(inner))]
    return [()]


@settings(max_examples=100, deadline=None)
@given(json_values, st.sampled_from([None, 1]))
def test_every_value_is_found_where_it_stands(value: object, indent: int | None) -> None:
    text = " " + json.dumps(value, indent=indent)
    for path in paths_in(value):
        expected = value
        for step in path:
            expected = expected[step]  # type: ignore[index]
        found, _ = json.JSONDecoder().raw_decode(text, locate(text, 1, path))
        assert found == expected
