"""Reading one field out of the stored body of a decision, which is JSON in a column of text."""

from sqlalchemy import JSON, ColumnElement, Connection, cast, type_coerce

from reconciler.store.tables import decisions


def said(connection: Connection, *path: str) -> ColumnElement[str]:
    """The text at ``path`` of a decision's body, for a WHERE. SQLite takes JSON from text as it is, PostgreSQL by a cast."""
    body = decisions.c.body
    as_json = cast(body, JSON) if connection.dialect.name == "postgresql" else type_coerce(body, JSON)
    found: ColumnElement[str] = as_json[path].as_string()
    return found
