"""What `--ray` and its options refuse, and how a cluster is shared; no Ray is started."""

import socket
from pathlib import Path

import pytest

from app import annotate
from app.cluster import ray_address
from app.cluster.archive_progress import worker_line
from app.cluster.pool import WorkerState
from app.cluster.ray_address import RayError, check_answers, check_ray
from app.cluster.ray_share import Share, choose_share
from solov2.errors import MissingExtraError


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--ray", "nowhere"], "--ray must be local, auto, HOST:PORT or ray://HOST:PORT, got 'nowhere'"),
        (["--ray", "host:99999"], "--ray must be local, auto, HOST:PORT or ray://HOST:PORT, got 'host:99999'"),
        (["--ray-workers", "2"], "--ray-workers and --ray-chunk are for --ray: add --ray local, or an address"),
        (["--ray", "local", "--ray-workers", "0"], "argument --ray-workers: must be a whole number of at least 1"),
        (["--out", "s3://bucket/out"], "--out in an object store needs --ray"),
        (["--ray", "local", "--out", "nothing://x"], "--out must be a folder, or an address that fsspec can write"),
    ],
)
def test_an_option_of_ray_that_makes_no_sense_is_one_line(
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed. Try: pip install 'solov2-live[ray]'")
    try:
        code = annotate.main(["demo", "--out", str(tmp_path), *options])
    except SystemExit as end:  # of the parser
        code = int(str(end.code))
    assert code == 2
    message = capsys.readouterr().err
    assert told in message
    assert message.count("\n") == 1


def test_an_address_in_an_object_store_needs_ray(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert annotate.main(["memory://bucket/clip.mp4", "--out", str(tmp_path)]) == 2
    assert "or add --ray local, which reads object stores\n" in capsys.readouterr().err


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(RayError, match=rf"^no Ray cluster answers at {address} \(.+\)\. Start one with: ray start"):
        check_answers(address)


def test_a_cluster_that_refuses_is_told_with_its_last_words_and_what_may_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "_PROBE", "raise ConnectionError('Failed to connect.')")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RayError) as caught:
            check_answers(address)
    assert str(caught.value) == (
        f"the Ray cluster at {address} cannot be used: ConnectionError: Failed to connect. "
        "If it asks for a token, set RAY_AUTH_MODE=token on both sides"
    )


def test_a_missing_ray_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'solov2-live\[ray\]'"):
        check_ray("local")


@pytest.mark.parametrize(
    ("nodes", "wanted", "device", "share"),
    [
        ([{"CPU": 16}], None, "auto", Share(4, 4, 0)),
        ([{"CPU": 2}], None, "auto", Share(1, 2, 0)),
        ([{"CPU": 2}], 2, "auto", Share(2, 1, 0)),
        ([{"CPU": 8}, {"CPU": 8}], 3, "auto", Share(3, 4, 0)),
        ([{"CPU": 8}, {"CPU": 3}], None, "auto", Share(2, 4, 0)),
        ([{"CPU": 16, "GPU": 2}, {"CPU": 64}], None, "auto", Share(2, 8, 1)),
        ([{"CPU": 16, "GPU": 2}], 1, "cuda", Share(1, 8, 1)),
        ([{"CPU": 16, "GPU": 2}], None, "cpu", Share(4, 4, 0)),
    ],
)
def test_a_worker_gets_a_gpu_or_its_share_of_the_cpus(
    nodes: list[dict[str, float]], wanted: int | None, device: str, share: Share
) -> None:
    assert choose_share(nodes, wanted, device) == share


@pytest.mark.parametrize(
    ("nodes", "wanted", "device", "told"),
    [
        ([{"CPU": 2}], 3, "auto", "--ray-workers must be at most the cluster's 2 CPUs, got 3"),
        ([{"CPU": 8, "GPU": 1}], 2, "auto", "--ray-workers must be at most the cluster's 1 GPUs, got 2"),
        ([{"CPU": 2}], None, "cuda", "--device cuda needs a GPU, and the Ray cluster has none: use --device cpu"),
        ([{}], None, "auto", "the Ray cluster has no CPUs for workers"),
    ],
)
def test_a_cluster_that_is_too_small_is_told(
    nodes: list[dict[str, float]], wanted: int | None, device: str, told: str
) -> None:
    with pytest.raises(RayError, match=f"^{told}"):
        choose_share(nodes, wanted, device)


def test_the_line_of_a_worker_says_what_it_does_and_how_fast() -> None:
    state = WorkerState("worker 2 on here (process 7)", 7, "film 000001000-000001999", 3, 3000, 75.0)
    assert worker_line(state) == (
        "worker 2 on here (process 7): film 000001000-000001999; 3 chunks, 3000 frames, 40.0 fps"
    )
