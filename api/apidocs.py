"""/api/docs: the REST interface as a page of our own, drawn from its OpenAPI document. Nothing loads from elsewhere."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.templating import page


async def docs(request: Request) -> Response:
    document: dict[str, Any] = request.app.openapi()
    schemas = document.get("components", {}).get("schemas", {})
    calls = [
        {
            "method": method.upper(),
            "path": path,
            "summary": call.get("summary", ""),
            "description": call.get("description", ""),
            "parameters": [p for p in call.get("parameters", []) if p["name"] != "authorization"],
            "body": _fields(call.get("requestBody", {}), schemas),
            "answer": next(
                (_fields(call["responses"][code], schemas) for code in ("201", "200") if code in call["responses"]), []
            ),
        }
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    ]
    return page(request, "apidocs.html", calls=calls)


def _fields(holder: dict[str, Any], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    """Name, type and meaning of each field of a JSON body."""
    schema = holder.get("content", {}).get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    wanted = schemas.get(name, {})
    return [
        {
            "name": field,
            "type": _type(told),
            "is_required": field in wanted.get("required", ()),
            "description": told.get("description", ""),
        }
        for field, told in wanted.get("properties", {}).items()
    ]


def _type(told: dict[str, Any]) -> str:
    if "$ref" in told:
        return str(told["$ref"]).rpartition("/")[2]
    if "anyOf" in told:
        return " | ".join(_type(one) for one in told["anyOf"])
    if "const" in told:
        return f'"{told["const"]}"'
    if told.get("type") == "array":
        return f"[{_type(told.get('items', {}))}]"
    return str(told.get("format") or told.get("type", "?"))
