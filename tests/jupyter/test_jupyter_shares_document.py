"""The OpenAPI document says what the handlers do: the same routes, methods, fields, bounds."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from support.shares_api import DOCUMENT, answer_schema, check

from cs3collab import errors
from cs3collab.jupyter import shares, shares_json, shares_model

METHODS = ("get", "post", "put", "patch", "delete")
SCHEMAS = DOCUMENT["components"]["schemas"]
STRUCTS = {
    name: struct
    for name, struct in vars(shares_json).items()
    if inspect.isclass(struct) and issubclass(struct, msgspec.Struct) and not name.startswith("_") and name != "Struct"
}
SENT = {name for name, struct in STRUCTS.items() if struct.__struct_config__.forbid_unknown_fields}
_, GENERATED = msgspec.json.schema_components(STRUCTS.values(), ref_template="#/components/schemas/{name}")


def test_the_document_names_each_route_with_its_methods() -> None:
    documented = {path: {method for method in METHODS if method in item} for path, item in DOCUMENT["paths"].items()}
    served = {f"/{name}": {method for method in METHODS if method in vars(handler)} for name, handler in shares.ROUTES.items()}
    assert documented == served


def test_each_method_is_authenticated_and_authorized() -> None:
    for handler in shares.ROUTES.values():
        for method in METHODS:
            if method in vars(handler):
                source = inspect.getsource(vars(handler)[method])
                assert "@web.authenticated\n    @authorized\n" in source, (handler, method)


def test_there_is_a_schema_for_each_struct_and_no_other() -> None:
    values = {name for name, schema in SCHEMAS.items() if schema.get("type") != "object"}
    assert set(SCHEMAS) - values == set(STRUCTS)


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_a_schema_has_the_fields_of_its_struct(name: str) -> None:
    documented, generated = SCHEMAS[name], GENERATED[name]
    assert documented["additionalProperties"] is False
    required = generated.get("required", []) if name in SENT else list(generated["properties"])
    assert sorted(documented.get("required", [])) == sorted(required)
    assert {key: shape(value) for key, value in documented["properties"].items()} == {
        key: shape(value) for key, value in generated["properties"].items()
    }


def shape(schema: dict[str, Any]) -> Any:
    """What a schema allows, however it is written: alternatives, and bounds of text and numbers."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name if name in STRUCTS else shape(SCHEMAS[name])
    if "anyOf" in schema:
        return frozenset().union(*(one if isinstance(one := shape(part), frozenset) else {one} for part in schema["anyOf"]))
    if "enum" in schema:
        return frozenset(schema["enum"])
    bounds = tuple(
        (key, schema[key]) for key in ("minLength", "maxLength", "minimum", "maximum") if schema.get(key) is not None
    )
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    items = shape(schema["items"]) if "items" in schema else None
    return frozenset(None if kind == "null" else (kind, bounds, items) for kind in kinds)


def test_the_bounds_of_lists_are_those_of_the_code() -> None:
    limit = DOCUMENT["components"]["parameters"]["limit"]["schema"]
    assert (limit["maximum"], limit["default"]) == (shares_model.MAX_LISTED, shares_model.LISTED)
    query, limit = (parameter["schema"] for parameter in DOCUMENT["paths"]["/people"]["get"]["parameters"])
    assert (query["maxLength"], limit["maximum"]) == (shares_model.MAX_QUERY, shares_model.MAX_FOUND)
    assert limit["default"] == shares_model.FOUND


def test_the_page_names_each_route_and_its_example_can_be_sent() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "sharing.md").read_text(encoding="utf-8")
    documented: dict[str, set[str]] = {}
    for cell in re.findall(r"^\| (`(?:GET|POST|PATCH|DELETE).*?) \|", page, re.MULTILINE):
        *methods, route = re.findall(r"[\w/{}]+", re.sub(r"\?\w+=", "", cell))
        documented.setdefault(route, set()).update(method.lower() for method in methods)
    assert documented == {
        name: {method for method in METHODS if method in vars(handler)} for name, handler in shares.ROUTES.items()
    }
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert shares_json.parse(example.encode(), shares_json.NewShare).kind == "federated"


def test_each_status_of_an_error_is_explained() -> None:
    text = DOCUMENT["components"]["responses"]["Failure"]["description"]
    for error in (
        errors.InvalidInput,
        errors.NotAuthenticated,
        errors.NotAuthorized,
        errors.NotFound,
        errors.AlreadyExists,
        errors.Overloaded,
        errors.Unsupported,
        errors.StorageUnavailable,
        errors.DeadlineExceeded,
    ):
        assert f"{error.http_status}:" in text


def test_each_schema_is_one_and_each_reference_leads_somewhere() -> None:
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    names = [item[method]["operationId"] for item in DOCUMENT["paths"].values() for method in METHODS if method in item]
    assert len(names) == len(set(names))


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_the_document_would_notice_another_answer() -> None:
    schema = answer_schema("GET", "providers", 200)
    assert schema is not None
    check(schema, {"providers": [{"domain": "a", "name": "A", "here": True}], "truncated": False})
    for wrong in ({"providers": []}, {"providers": [{"domain": "a"}], "truncated": False}, {"providers": [], "truncated": 1}):
        with pytest.raises(jsonschema.ValidationError):
            check(schema, wrong)
