"""The statements behind memories: what is a user's, what of it matches, and in which order.

A search is for people's questions, of which hardly a word need stand in what was remembered, so one word in common is
enough. Each is worth the more, the fewer of the user's memories hold it; the stop words of English are worth little. That
finds "Has two children, Lea and Tom." for "What are the names of my children?" where asking for all words finds nothing, and
needs no list of stop words for any other language. A user has few memories, so counting them costs nothing.

With an embedding model what is nearest in meaning is ranked as well, and the two rankings are fused by reciprocal rank
(Cormack et al. 2009), which needs no common scale of scores.
"""

# ruff: noqa: S608  statements are put together from constants of this module; whatever varies is a parameter

from collections.abc import Sequence
from typing import Any

from services.storage.encoding import to_json
from services.storage.memories_terms import Condition, Wanted

COLUMNS = "id, namespace, key, value, created_at, updated_at, expires_at"
_COLUMNS_OF_M = ", ".join(f"m.{column}" for column in COLUMNS.split(", "))

_OWN = "m.tenant_id = $1 AND m.user_id = $2"
_ALIVE = "(m.expires_at IS NULL OR m.expires_at > now())"
_BELOW = "m.namespace[1:cardinality($3::text[])] = $3::text[]"
_FROM_NOW = "now() + make_interval(secs => {ttl_s})"
_ASKED = "jsonb_to_recordset($3::jsonb) AS a (namespace text[], key text, refresh boolean)"

# What somebody else is writing at the moment is left to them: two who read the same would otherwise wait for each other.
_REFRESHED = f"""
due AS MATERIALIZED (
    SELECT m.namespace, m.key FROM memories m
    WHERE {_OWN} AND {_ALIVE} AND m.ttl_s IS NOT NULL AND (m.namespace, m.key) IN (SELECT namespace, key FROM {{read}})
    FOR UPDATE SKIP LOCKED
),
refreshed AS (
    UPDATE memories m SET expires_at = {_FROM_NOW.format(ttl_s="m.ttl_s")} FROM due d
    WHERE {_OWN} AND m.namespace = d.namespace AND m.key = d.key
)"""

GET = f"""
WITH asked AS MATERIALIZED (SELECT * FROM {_ASKED}),
{_REFRESHED.format(read="asked WHERE asked.refresh")}
SELECT {_COLUMNS_OF_M}
FROM asked a JOIN memories m ON m.namespace = a.namespace AND m.key = a.key WHERE {_OWN} AND {_ALIVE}
"""

# For whatever writes several rows of one user: two who do so in different orders would otherwise wait for each other.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))"

# What has expired makes room, and is written over as if it had not been there.
PUT = f"""
WITH given AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($3::jsonb)
        AS g (id uuid, namespace text[], key text, value text, text text, ttl_s double precision)
),
there AS MATERIALIZED (SELECT m.namespace, m.key FROM memories m WHERE {_OWN} AND {_ALIVE}),
more AS (SELECT count(*) AS items FROM given g WHERE NOT EXISTS (
    SELECT FROM there t WHERE t.namespace = g.namespace AND t.key = g.key
))
INSERT INTO memories AS m (tenant_id, user_id, namespace, key, id, value, text, ttl_s, expires_at)
SELECT $1, $2, namespace, key, id, value::jsonb, text, ttl_s, {_FROM_NOW.format(ttl_s="ttl_s")} FROM given
WHERE (SELECT items FROM more) = 0 OR (SELECT items FROM more) + (SELECT count(*) FROM there) <= $4
ON CONFLICT (tenant_id, user_id, namespace, key) DO UPDATE SET
    id = CASE WHEN {_ALIVE} THEN m.id ELSE excluded.id END,
    created_at = CASE WHEN {_ALIVE} THEN m.created_at ELSE now() END,
    value = excluded.value, text = excluded.text, ttl_s = excluded.ttl_s, expires_at = excluded.expires_at,
    updated_at = now()
"""

DELETE = f"""
DELETE FROM memories m USING {_ASKED} WHERE {_OWN} AND m.namespace = a.namespace AND m.key = a.key
"""
DELETE_ONE = f"DELETE FROM memories m WHERE {_OWN} AND id = $3 AND {_ALIVE}"
ERASE = f"DELETE FROM memories m WHERE {_OWN} AND {_BELOW}"
NAMESPACES = f"SELECT DISTINCT namespace FROM memories m WHERE {_OWN} AND {_ALIVE}"
PAGE = f"""
SELECT {COLUMNS} FROM memories m
WHERE {_OWN} AND {_ALIVE} AND {_BELOW}
    AND ($4::uuid IS NULL OR (updated_at, id) < (SELECT updated_at, id FROM memories m WHERE {_OWN} AND id = $4))
ORDER BY updated_at DESC, id DESC LIMIT $5
"""
PRUNE = """
DELETE FROM memories WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM memories WHERE expires_at <= now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
))
"""

# `strip` changes nothing, but what it returns is in memory: a column would be fetched and unpacked for every term anew.
_MINE = f"""
mine AS MATERIALIZED (
    SELECT {_COLUMNS_OF_M}, m.tenant_id, m.user_id{{search}} FROM memories m WHERE {_OWN} AND {_ALIVE} AND {_BELOW}{{met}}
)"""
MAX_TERMS = 48
"""Of a query, the longest first: each is looked for in each memory. A whole message may be a query."""

_TERMS = r"""
terms AS MATERIALIZED (
    SELECT lexeme, ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS term, worth
    FROM unnest(to_tsvector('simple', {query}) || to_tsvector('english', {query})),
        LATERAL (SELECT CASE WHEN to_tsvector('english', lexeme) = '' THEN 0.2 ELSE 1.0 END) AS of_it (worth)
    ORDER BY worth DESC, length(lexeme) DESC, lexeme LIMIT {max_terms}
),
hits AS MATERIALIZED (
    SELECT m.id, updated_at, worth, count(*) OVER (PARTITION BY lexeme) AS held, (SELECT count(*) FROM mine) AS items
    FROM mine m, LATERAL (SELECT lexeme, worth FROM terms WHERE m.search @@ term OFFSET 0) AS hit
),
words AS MATERIALIZED (
    SELECT id, updated_at, sum(worth * ln(1 + (items - held + 0.5) / (held + 0.5)))::double precision AS score
    FROM hits GROUP BY id, updated_at
)"""
_NEAR = """
ranked AS MATERIALIZED (SELECT id, updated_at, rank() OVER (ORDER BY score DESC) AS place FROM words),
near AS MATERIALIZED (
    SELECT m.id, updated_at, rank() OVER (ORDER BY v.embedding <=> {vector}::vector) AS place
    FROM mine m JOIN memory_vectors v
        ON (v.tenant_id, v.user_id, v.namespace, v.key) = (m.tenant_id, m.user_id, m.namespace, m.key)
    WHERE v.model = {model} AND v.written_at = m.updated_at
),
fused AS (
    SELECT id, updated_at,
        (coalesce(1.0 / (60 + ranked.place), 0) + coalesce(1.0 / (60 + near.place), 0))::double precision AS score
    FROM ranked FULL JOIN near USING (id, updated_at)
)"""
_NEWEST = "SELECT id, updated_at, NULL::double precision AS score FROM mine"
_ORDER = "ORDER BY score DESC NULLS LAST, updated_at DESC, id DESC"

ENABLE_VECTORS = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    """
    CREATE TABLE IF NOT EXISTS memory_vectors (
        tenant_id text NOT NULL,
        user_id text NOT NULL,
        namespace text[] COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        model text NOT NULL,
        written_at timestamptz NOT NULL,
        embedding vector NOT NULL,
        CONSTRAINT pk_memory_vectors PRIMARY KEY (tenant_id, user_id, namespace, key),
        CONSTRAINT fk_memory_vectors_memories FOREIGN KEY (tenant_id, user_id, namespace, key)
            REFERENCES memories ON DELETE CASCADE
    )
    """,
    "COMMENT ON COLUMN memory_vectors.written_at IS 'updated_at of the memory when this was made of it'",
)
_REPLACE_VECTOR = """
ON CONFLICT (tenant_id, user_id, namespace, key) DO UPDATE
    SET model = excluded.model, written_at = excluded.written_at, embedding = excluded.embedding
"""
PUT_VECTORS = f"""
INSERT INTO memory_vectors (tenant_id, user_id, namespace, key, model, written_at, embedding)
SELECT m.tenant_id, m.user_id, m.namespace, m.key, $4, m.updated_at, a.embedding::vector
FROM jsonb_to_recordset($3::jsonb) AS a (namespace text[], key text, embedding text)
JOIN memories m ON m.namespace = a.namespace AND m.key = a.key AND {_OWN}
{_REPLACE_VECTOR}
"""
WITHOUT_VECTOR = """
SELECT tenant_id, user_id, namespace, key, text, updated_at FROM memories m
WHERE text <> '' AND (expires_at IS NULL OR expires_at > now()) AND NOT EXISTS (
    SELECT FROM memory_vectors v
    WHERE (v.tenant_id, v.user_id, v.namespace, v.key) = (m.tenant_id, m.user_id, m.namespace, m.key)
        AND v.model = $1 AND v.written_at = m.updated_at
)
LIMIT $2
"""
FILL_VECTORS = f"""
INSERT INTO memory_vectors (tenant_id, user_id, namespace, key, model, written_at, embedding)
SELECT m.tenant_id, m.user_id, m.namespace, m.key, $2, m.updated_at, a.embedding::vector
FROM jsonb_to_recordset($1::jsonb)
    AS a (tenant_id text, user_id text, namespace text[], key text, written_at timestamptz, embedding text)
JOIN memories m ON (m.tenant_id, m.user_id, m.namespace, m.key) = (a.tenant_id, a.user_id, a.namespace, a.key)
    AND m.updated_at = a.written_at
{_REPLACE_VECTOR}
"""


class _Statement:
    """A statement that grows, with its arguments. What varies is a parameter, never text."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = list(arguments)

    def given(self, value: Any) -> str:
        """Add an argument, and return what stands for it."""
        self.arguments.append(value)
        return f"${len(self.arguments)}"


def search(
    tenant_id: str, user_id: str, wanted: Wanted, *, vector: str | None = None, model: str | None = None
) -> tuple[str, Sequence[Any]]:
    """Return the statement that finds what is wanted, and its arguments; `vector` is the query's, as pgvector reads it."""
    statement = _Statement(tenant_id, user_id, list(wanted.namespace))
    met = "".join(f"\n    AND {_condition(statement, condition)}" for condition in wanted.conditions)
    parts, scored = [_MINE.format(met=met, search="")], _NEWEST
    if wanted.query is not None:
        parts = [_MINE.format(met=met, search=", strip(m.search) AS search")]
        parts.append(_TERMS.format(query=statement.given(wanted.query), max_terms=MAX_TERMS))
        if vector is not None:
            parts.append(_NEAR.format(vector=statement.given(vector), model=statement.given(model)))
        ranked = "words" if vector is None else "fused"
        asked = "EXISTS (SELECT FROM terms)"
        scored = f"SELECT * FROM {ranked} WHERE {asked} UNION ALL {_NEWEST} WHERE NOT {asked}"
    page = f"LIMIT {statement.given(wanted.limit)} OFFSET {statement.given(wanted.offset)}"
    parts.append(f"found AS MATERIALIZED (SELECT * FROM ({scored}) AS scored {_ORDER} {page})")
    if wanted.refresh:
        parts.append(_REFRESHED.format(read="found JOIN mine USING (id)"))
    return (
        f"WITH {', '.join(parts)}\nSELECT {COLUMNS}, score FROM found JOIN mine USING (id, updated_at) {_ORDER}",
        statement.arguments,
    )


def _condition(statement: _Statement, condition: Condition) -> str:
    part = f"(m.value #> {statement.given(list(condition.path))}::text[])"
    operand = condition.operand
    match condition.operator:
        case "eq":
            return f"{part} = {statement.given(to_json(operand))}::jsonb"
        case "ne":
            return f"{part} IS DISTINCT FROM {statement.given(to_json(operand))}::jsonb"
    sign = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[condition.operator]
    if isinstance(operand, str):
        text = f"({part} #>> '{{}}')"
        return f"(jsonb_typeof{part} = 'string' AND {text} COLLATE \"C\" {sign} {statement.given(operand)}::text)"
    return f"(jsonb_typeof{part} = 'number' AND {part} {sign} {statement.given(to_json(operand))}::jsonb)"
