"""deploy/aws, without AWS: the template is valid, its rights are narrow, names and pins are the project's."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from bioicons_pipeline.settings import Settings
from bioicons_pipeline_tests.conftest import REPOSITORY
from bioicons_pipeline_tests.project.template import (
    BUCKET,
    FILLED,
    FOLDER,
    TEMPLATE,
    allowed,
    filled,
    load,
    pins,
    statements,
)

STORE = f"{BUCKET}/bioicons"
MAY_WRITE = (
    "blobs/ab/abcd",
    "versions/abcd.json",
    "refs/checkpoints/0a1b.json",
    "pipes/run-1/messages/1.json",
)
MAY_NOT_WRITE = (
    *(f"{STORE}/{key}" for key in ("refs/lora_weights/flux1-dev/Animals.json", "refs/icon_dataset/x.json")),
    *(f"{STORE}/{key}" for key in ("leases/lora_weights/x.json", "refs/checkpoints-of-others/x", "x", "")),
    *(f"{BUCKET}/{key}" for key in ("x", "bioicons2/blobs/ab/abcd", "other/blobs/ab/abcd")),
    "arn:aws:s3:::another-bucket/bioicons/blobs/ab/abcd",
)
WRITES = ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectAcl", "s3:RestoreObject")


def test_it_is_clean_by_cfn_lint(tmp_path):
    def lint(file: Path) -> subprocess.CompletedProcess:
        program = "import sys; from cfnlint.runner import main; sys.exit(main())"
        return subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True)

    done = lint(TEMPLATE)
    assert done.returncode == 0, done.stdout + done.stderr
    spoilt = tmp_path / "template.yaml"
    spoilt.write_text(TEMPLATE.read_text("utf-8").replace("StopTimeout: 120", "StopTimeuot: 120"))
    assert lint(spoilt).returncode != 0


def too_wide(rules) -> list[str]:
    """What a trainer with these rights could do and should not."""
    found = [f"{action} {one}" for action in WRITES for one in MAY_NOT_WRITE if allowed(rules, action, one)]
    found += [f"{action} {STORE}/{key}" for action in WRITES[1:] for key in MAY_WRITE
              if allowed(rules, action, f"{STORE}/{key}")]  # fmt: skip
    others = ("s3:PutBucketPolicy", "s3:DeleteBucket", "s3:PutLifecycleConfiguration")
    found += [action for action in others if allowed(rules, action, BUCKET)]
    elsewhere = {
        "secretsmanager:GetSecretValue",
        "iam:PassRole",
        "sts:AssumeRole",
        "ecs:RunTask",
        "logs:PutLogEvents",
    }
    return found + [
        action for action in sorted(elsewhere) if allowed(rules, action, FILLED["HfTokenSecretArn"])
    ]


def test_a_trainer_writes_only_content_checkpoints_and_messages():
    rules = statements(load(), "TrainerTaskRole")
    for key in MAY_WRITE:
        assert allowed(rules, "s3:PutObject", f"{STORE}/{key}") and allowed(
            rules, "s3:GetObject", f"{STORE}/{key}"
        )
    assert too_wide(rules) == []
    properties = load()["Resources"]["TrainerTaskRole"]["Properties"]
    assert set(properties) == {"AssumeRolePolicyDocument", "Policies"}  # no managed policy beside it


TOO_WIDE = {
    "all refs": (
        '${StorePrefix}/refs/checkpoints/*"\n                  - !Sub "${Bucket.Arn}/${StorePrefix}/pipes',
        '${StorePrefix}/refs/*"\n                  - !Sub "${Bucket.Arn}/${StorePrefix}/pipes',
    ),
    "all actions": ("Action: [s3:PutObject, s3:AbortMultipartUpload]\n", "Action: s3:*\n"),
    "everywhere": (
        "- Sid: TellMissing",
        "- {Effect: Allow, Action: 's3:Put*', Resource: '*'}\n              - Sid: TellMissing",
    ),
    "the bucket itself": ("Action: s3:ListBucket\n", "Action: s3:*\n"),
}


@pytest.mark.parametrize("fault", TOO_WIDE)
def test_a_policy_that_is_too_wide_is_noticed(fault):
    good, bad = TOO_WIDE[fault]
    text = TEMPLATE.read_text("utf-8")
    assert text.count(good) == 1
    assert too_wide(statements(load(text.replace(good, bad)), "TrainerTaskRole"))


def test_the_token_is_for_trainings_only():
    template = load()
    token = FILLED["HfTokenSecretArn"]
    readers = [
        name
        for name, one in template["Resources"].items()
        if one["Type"] == "AWS::IAM::Role" and "Policies" in one["Properties"]
        and allowed(statements(template, name), "secretsmanager:GetSecretValue", token)
    ]  # fmt: skip
    assert readers == ["TrainerExecutionRole"]
    text = json.dumps(template["Resources"])
    assert text.count('"HfTokenSecretArn"') == 2  # that role, and the container's `Secrets`
    (container,) = filled(template["Resources"]["TrainerTask"]["Properties"]["ContainerDefinitions"])
    assert container["Secrets"] == [{"Name": "HF_TOKEN", "ValueFrom": token}]
    assert container["ResourceRequirements"] == [{"Type": "GPU", "Value": "TrainerGpus"}]
    assert container["StopTimeout"] == 120


def test_who_runs_dagster_may_start_trainings_and_hand_over_their_roles_only():
    rules = statements(load(), "DagsterRole")
    definition = "arn:aws:ecs:eu-central-1:123456789012:task-definition/lab-trainer:7"
    for action in ("ecs:DescribeTasks", "ecs:ListTasks", "ecs:StopTask", "ecs:DescribeTaskDefinition"):
        assert allowed(rules, action, "arn:aws:ecs:eu-central-1:123456789012:task/x")
    assert allowed(rules, "ecs:RunTask", definition)
    assert not allowed(rules, "ecs:RunTask", definition.replace("lab-trainer", "another"))
    assert allowed(rules, "iam:PassRole", "TrainerTaskRole.Arn")
    assert not allowed(rules, "iam:PassRole", "arn:aws:iam::123456789012:role/admin")
    assert allowed(rules, "s3:DeleteObject", f"{STORE}/blobs/ab/abcd")  # `bioicons prune`
    assert not allowed(rules, "s3:PutObject", f"{BUCKET}/other")


def test_the_bucket_is_closed_encrypted_and_tidied():
    bucket = filled(load()["Resources"]["Bucket"])
    assert bucket["DeletionPolicy"] == "Retain"
    properties = bucket["Properties"]
    assert all(properties["PublicAccessBlockConfiguration"].values())
    assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    rules = properties["LifecycleConfiguration"]["Rules"]
    expiring = {one["Prefix"]: one["ExpirationInDays"] for one in rules if "ExpirationInDays" in one}
    assert expiring == {"bioicons/pipes/": 1, "bioicons/refs/checkpoints/": 30}  # nothing else ever expires


def test_nothing_comes_in_but_to_the_login():
    resources = load()["Resources"]
    groups = {
        name: one["Properties"] for name, one in resources.items() if one["Type"] == "AWS::EC2::SecurityGroup"
    }
    rules = [rule for group in groups.values() for rule in filled(group.get("SecurityGroupIngress", []))]
    assert [(rule["FromPort"], rule.get("CidrIp"), rule.get("SourceSecurityGroupId")) for rule in rules] == [
        (5432, None, "DagsterSecurityGroup"),
        (443, "AllowedCidr", None),
    ]
    start = filled(resources["Dagster"]["Properties"]["UserData"])
    assert "--host 127.0.0.1" in start and "0.0.0.0" not in start and "auth_basic_user_file" in start
    assert '--host", "127.0.0.1"' in (FOLDER / "Dockerfile").read_text("utf-8")


def variables(text: str) -> set[str]:
    return set(re.findall(r"\bBIOICONS_[A-Z_]+", text))


SETTINGS = {f"BIOICONS_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("name", ["template.yaml", "Dockerfile", "README.md", "dagster.postgres.yaml"])
def test_every_setting_that_is_named_is_one(name):
    assert variables((FOLDER / name).read_text("utf-8")) <= SETTINGS


def test_the_outputs_are_the_settings_of_the_backend_and_make_one(monkeypatch):
    """Whoever sets the variables that the outputs name has a backend; the box sets the same ones."""
    template = load()
    outputs = {
        re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper(): filled(output["Value"])
        for name, output in template["Outputs"].items() if name.startswith("Bioicons")
    }  # fmt: skip
    needed = {name for name in SETTINGS if name.startswith("BIOICONS_ECS_")}
    needed -= {
        f"BIOICONS_ECS_{name}"
        for name in ("MESSAGES", "WORK_DIR", "POLL_SECONDS", "RETRIES", "INSTANCE_METADATA")
    }
    assert set(outputs) == needed | {
        f"BIOICONS_{name}" for name in ("DEPLOYMENT", "STORE_ROOT", "TRAINING_PROCESSES")
    }
    start = filled(template["Resources"]["Dagster"]["Properties"]["UserData"])
    assert set(outputs) | {"BIOICONS_BASE"} == variables(start)
    for name, value in outputs.items():
        assert f"{name}={value}\n" in start
        monkeypatch.setenv(name, "1" if name == "BIOICONS_TRAINING_PROCESSES" else value)
    from bioicons_pipeline.orchestration.backends import EcsTraining, training_backend

    backend = training_backend(Settings())
    assert isinstance(backend, EcsTraining) and backend.messages == "s3://the-bucket/bioicons/pipes"
    (container,) = template["Resources"]["TrainerTask"]["Properties"]["ContainerDefinitions"]
    assert backend.container == container["Name"]
    assert backend.task_definition == filled(template["Resources"]["TrainerTask"]["Properties"]["Family"])


def unheard(template: dict) -> list[str]:
    """Why a training would not hear that its spot host is taken: what training_backends.md demands."""
    task = template["Resources"]["TrainerTask"]["Properties"]
    host = template["Resources"]["GpuHost"]["Properties"]["LaunchTemplateData"]
    mode, options = task["NetworkMode"], host["MetadataOptions"]
    blocked = re.search(r"^ECS_AWSVPC_BLOCK_IMDS=(?!false$)", filled(host["UserData"]), re.M)
    return [
        *(["ECS_AWSVPC_BLOCK_IMDS"] if mode == "awsvpc" and blocked else []),
        *(["hop limit"] if mode == "bridge" and options["HttpPutResponseHopLimit"] < 2 else []),
        *(["no metadata service"] if options.get("HttpEndpoint") == "disabled" else []),
    ]


def test_a_training_hears_that_its_host_is_taken():
    """The template does what the page for those who set it up by hand demands."""
    page = (REPOSITORY / "docs" / "training_backends.md").read_text("utf-8")
    assert "in awsvpc mode `ECS_AWSVPC_BLOCK_IMDS` must not be set" in " ".join(page.split())
    assert unheard(load()) == [] and Settings().ecs_instance_metadata
    text = TEMPLATE.read_text("utf-8")
    faults = {
        "ECS_AWSVPC_BLOCK_IMDS": ("ECS_ENABLE_GPU_SUPPORT=true", "ECS_AWSVPC_BLOCK_IMDS=true"),
        "hop limit": ("NetworkMode: awsvpc", "NetworkMode: bridge"),
    }
    for fault, (good, bad) in faults.items():
        assert text.count(good) == 1 and unheard(load(text.replace(good, bad))) == [fault]


def test_the_page_does_not_promise_that_an_update_reaches_the_box():
    """User data runs once; and a parameter that follows the newest image replaces the box when it moves."""
    page = " ".join((FOLDER / "README.md").read_text("utf-8").split())
    assert not re.search(r"Update the stack with `Base=", page)
    template = load()
    assert "BIOICONS_BASE=Base" in filled(template["Resources"]["Dagster"]["Properties"]["UserData"])
    assert template["Parameters"]["DagsterAmi"]["Type"].startswith("AWS::SSM::Parameter::Value")
    assert "An update of any parameter can also replace the box" in page


@pytest.mark.parametrize("resource", ["Dagster", "GpuHost"])
def test_start_scripts_are_shell(resource, tmp_path):
    properties = load()["Resources"][resource]["Properties"]
    script = filled(properties.get("LaunchTemplateData", properties)["UserData"])
    assert script.startswith("#!/bin/bash\n") and "${" not in script
    scripts = [script, *re.findall(r"<<'START'\n(.*?)\nSTART\n", script, re.S)]
    assert len(scripts) == (2 if resource == "Dagster" else 1)
    for one in scripts:
        done = subprocess.run(["bash", "-n"], input=one, text=True, capture_output=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_lock_has_the_tested_versions_with_hashes():
    lock = (FOLDER / "requirements.lock").read_text("utf-8")
    locked, constrained = pins(FOLDER / "requirements.lock"), pins(REPOSITORY / "constraints.txt")
    assert {
        name: version for name, version in locked.items() if constrained.get(name, version) != version
    } == {}
    only_in_the_lock = {
        name for name in set(locked) - set(constrained) if not name.startswith(("nvidia-", "cuda-"))
    }
    assert only_in_the_lock <= {"triton"}  # what torch brings where there is a GPU
    for entry in re.split(r"\n(?=[a-z0-9])", lock.strip()):
        assert re.fullmatch(r"[a-z0-9.-]+==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+", entry), (
            entry[:200]
        )
    assert "://" not in lock and "index" not in lock.replace("importlib", "")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    wanted = project["project"]["dependencies"] + project["build-system"]["requires"]
    for extra in ("postgres", "low-memory"):
        wanted += project["project"]["optional-dependencies"][extra]
    names = {re.match(r"[\w-]+", one)[0].lower() for one in wanted}
    assert names <= set(locked), names - set(locked)


def test_the_container_file_agrees_with_the_pins():
    text = (FOLDER / "Dockerfile").read_text("utf-8")
    images = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.M))
    assert set(re.findall(r"^FROM (\S+)", text, re.M)) == {f"${{{name}}}" for name in images}
    assert all(re.search(r":\d+\.\d+\.\d+-", image) for image in images.values())  # a version, not `latest`
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    python = re.search(r"python:(\d+\.\d+)\.", images["PYTHON_IMAGE"])[1]
    assert project["project"]["requires-python"] == f">={python}"
    assert f"--python-version {python} " in (REPOSITORY / "Makefile").read_text("utf-8")
    cuda = re.search(r"cuda:(\d+)\.", images["CUDA_IMAGE"])[1]
    assert pins(FOLDER / "requirements.lock")["cuda-toolkit"].split(".")[0] == cuda
    assert "pip install --require-hashes" in text
    from_here = "--no-deps --no-build-isolation --no-index"
    unchecked = rf"^(?!#).*(==|pip install (?!--require-hashes|{from_here}))"
    assert not re.findall(unchecked, text, re.M)  # no pin and no download beside the lock
    users = re.findall(r"^USER (\S+)$", text, re.M)
    assert users == ["bioicons", "bioicons"]  # of the trainer and of Dagster
    assert 'CMD ["python", "-m", "bioicons_pipeline.training"]' in text


def test_dagster_on_postgres_differs_in_its_storage_only():
    here = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text("utf-8"))
    there = yaml.safe_load((FOLDER / "dagster.postgres.yaml").read_text("utf-8"))
    assert set(there["storage"]) == {"postgres"}
    places = ("storage", "local_artifact_storage", "compute_logs")
    assert {k: v for k, v in here.items() if k not in places} == {
        k: v for k, v in there.items() if k not in places
    }
    start = filled(load()["Resources"]["Dagster"]["Properties"]["UserData"])
    for entry in there["storage"]["postgres"]["postgres_db"].values():
        assert f"{entry['env']}=" in start


def test_the_sbom_lists_what_is_locked(tmp_path):
    file = tmp_path / "sbom.json"
    lock = FOLDER / "requirements.lock"
    program = "import sys; from cyclonedx_py.__main__ import run; sys.exit(run())"
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        program,
        "requirements",
        str(lock),
        "--of",
        "JSON",
        "-o",
        str(file),
    ]
    subprocess.run(command, check=True, capture_output=True)
    found = {one["name"]: one["version"] for one in json.loads(file.read_text("utf-8"))["components"]}
    assert found == pins(lock)
