"""Who may open the studio, and what it says when it cannot open."""

import builtins
import socket

import pytest

from bioicons_pipeline.studio.desk import Services
from bioicons_pipeline.studio.serve import StudioError, check_access, check_folder, is_loopback, serve
from bioicons_pipeline.whole import WriteError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_needs_no_password(host):
    assert is_loopback(host)
    check_access(host, None)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.4", "lab.example.org", "127.0.0.1.example.org", ""]
)
def test_other_machines_need_one(host):
    assert not is_loopback(host)
    with pytest.raises(StudioError, match="needs a password"):
        check_access(host, None)
    check_access(host, "long enough")


def test_a_short_password_is_refused():
    with pytest.raises(StudioError, match="at least 8"):
        check_access("127.0.0.1", "short")


@pytest.fixture
def services(tmp_path):
    def never(*_):
        raise AssertionError("called")

    return Services([], [], "no model", never, never, never, tmp_path / "out")


def test_without_gradio_it_says_what_to_install(services, monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "gradio":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(StudioError, match=r"bioicons-pipeline\[studio\]"):
        serve(services)


def test_a_folder_with_other_files_is_not_shown_to_visitors(services):
    services.out.mkdir()
    for name in ("a-cell-1.png", "a-cell-1.json", ".writing-ab12"):
        (services.out / name).write_bytes(b"")
    (services.out / "found").mkdir()
    check_folder(services.out)
    (services.out / "notes.txt").write_text("private")
    with pytest.raises(StudioError, match=r"notes\.txt.*--out"):
        serve(services)


def test_a_file_in_place_of_the_folder_is_one_sentence(services):
    services.out.write_text("a file")
    with pytest.raises(WriteError, match="is a file, not a folder"):
        serve(services)


def test_a_taken_port_is_one_sentence(services):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StudioError, match=f"127.0.0.1:{port}"):
            serve(services, port=port)
