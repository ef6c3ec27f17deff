"""The CloudFormation template of deploy/aws as data, its intrinsic functions filled in; and what IAM makes of
a role's policies. Of IAM only what the template uses: Allow and wildcards (policy evaluation logic,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).
"""

import fnmatch
import re
from pathlib import Path
from typing import Any

import yaml

from bioicons_pipeline_tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "aws"
TEMPLATE = FOLDER / "template.yaml"
BUCKET = "arn:aws:s3:::the-bucket"
FILLED = {
    "Bucket.Arn": BUCKET,
    "Bucket": "the-bucket",
    "StorePrefix": "bioicons",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "lab",
    "AWS::NoValue": None,
    "RepositoryPrefix": "bioicons",
    "HfTokenSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:hf",
    "UiPasswordSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:ui",
}
"""What parameters and resources are in the tests; anything else is its own name."""


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref X` is {"Ref": "X"}."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def load(text: str | None = None) -> dict[str, Any]:
    """The template, its functions as dictionaries."""
    return yaml.load(text or TEMPLATE.read_text("utf-8"), _Loader)


def filled(value: Any) -> Any:
    """`value` with references and substitutions as in `FILLED`, conditions taken as true."""
    if isinstance(value, list):
        return [one for one in map(filled, value) if one is not None]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        return FILLED.get(value["Ref"], value["Ref"])
    if set(value) == {"Fn::GetAtt"}:
        return FILLED.get(value["Fn::GetAtt"], value["Fn::GetAtt"])
    if set(value) == {"Fn::If"}:
        return filled(value["Fn::If"][1])
    if set(value) == {"Fn::Join"}:
        separator, parts = value["Fn::Join"]
        return filled(parts) if isinstance(filled(parts), str) else separator.join(filled(parts))
    if set(value) == {"Fn::Base64"}:
        return filled(value["Fn::Base64"])
    if set(value) == {"Fn::Sub"}:
        text, more = value["Fn::Sub"], {}
        if isinstance(text, list):
            text, more = text[0], filled(text[1])
        known = {**FILLED, **more}
        return re.sub(r"\$\{([\w:.]+)\}", lambda found: str(known.get(found[1], found[1])), text)
    return {key: filled(one) for key, one in value.items()}


def statements(template: dict[str, Any], role: str) -> list[dict[str, Any]]:
    """The statements of a role's own policies."""
    policies = template["Resources"][role]["Properties"]["Policies"]
    return [one for policy in policies for one in filled(policy["PolicyDocument"]["Statement"])]


def allowed(rules: list[dict[str, Any]], action: str, resource: str) -> bool:
    """Whether the statements allow `action` on `resource`. Conditions only narrow a right: passed over."""
    return any(_matches(rule, action, resource) for rule in rules)


def _matches(rule: dict[str, Any], action: str, resource: str) -> bool:
    assert rule["Effect"] == "Allow" and {"NotAction", "NotResource"}.isdisjoint(rule)
    return any(fnmatch.fnmatchcase(action.lower(), one.lower()) for one in _list(rule["Action"])) and any(
        fnmatch.fnmatchcase(resource, one) for one in _list(rule["Resource"])
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def pins(file: Path) -> dict[str, str]:
    """name → version of a requirements file."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==([^\s\\;]+)", file.read_text("utf-8"), re.M))
