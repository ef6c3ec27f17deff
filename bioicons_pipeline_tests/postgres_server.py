"""A real PostgreSQL on loopback, from Debian's packages, in a folder of the test's own and never as root."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "of-the-test"


def binaries() -> Path | None:
    """Where `initdb` and `postgres` are; Debian has them outside PATH, by version."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: int(one.parts[-3]))
    return versions[-1].parent if versions else None


@contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """The environment that `deploy/aws/dagster.postgres.yaml` asks for, of a new and empty server."""
    place = binaries()
    assert place, "no PostgreSQL on this machine: apt-get install postgresql"
    # PostgreSQL refuses to run as root; the user that Debian's package made takes its place
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    who = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    folder = Path(tempfile.mkdtemp(prefix="bioicons-postgres-"))  # pytest's own folders are closed to others
    try:
        if owner:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        data = folder / "data"
        made = [place / "initdb", "-D", data, "-U", "dagster", "-A", "scram-sha-256", "--pwfile", password]
        subprocess.run([*made, "-E", "UTF8", "--no-sync"], check=True, capture_output=True, cwd=folder, **who)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off"
        control = [place / "pg_ctl", "-D", data, "-w", "-t", "120", "-s"]
        log = folder / "server.log"
        try:
            started = [*control, "-l", log, "-o", options, "start"]
            subprocess.run(started, check=True, cwd=folder, stdout=subprocess.DEVNULL, **who)
        except subprocess.CalledProcessError as error:
            raise AssertionError(log.read_text()) from error
        try:
            yield {
                "DAGSTER_POSTGRES_HOST": "127.0.0.1",
                "DAGSTER_POSTGRES_PORT": port,
                "DAGSTER_POSTGRES_DB": "postgres",
                "DAGSTER_POSTGRES_USER": "dagster",
                "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
            }
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], cwd=folder, capture_output=True, **who)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
