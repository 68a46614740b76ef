"""The official `openai` client: formats and tools of chat completions."""

import asyncio
import json
import typing

import openai
import pydantic

from harness import Cases, equal, raises, user
from openai_cases import ASTHMA, ask, async_client, client, joined

case = Cases("openai")

# Formats. The bundled model was never taught JSON: lengths are bounded here, so that an answer ends.

SCHEMA = {
    "type": "object",
    "properties": {
        "clinic": {"type": "string", "enum": ["heart clinic", "skin clinic"]},
        "weeks": {"type": "integer", "minimum": 1, "maximum": 12},
        "urgent": {"type": "boolean"},
        "words": {"type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 2},
    },
    "required": ["clinic", "weeks", "urgent", "words"],
    "additionalProperties": False,
}


class Visit(pydantic.BaseModel):
    clinic: typing.Literal["heart clinic", "skin clinic"]
    weeks: int = pydantic.Field(ge=1, le=12)
    urgent: bool
    words: list[typing.Annotated[str, pydantic.Field(max_length=8)]] = pydantic.Field(max_length=2)


def json_schema(schema):
    return {"type": "json_schema", "json_schema": {"name": "visit", "schema": schema, "strict": True}}


@case("response_format json_object")
def _(server):
    [quote] = server.tokens('"')
    for temperature, seed in [(0, 0), (1, 1), (1, 2)]:
        # Closing quotes are made likely, or a string would go on to the end of the context.
        choice = ask(server, response_format={"type": "json_object"}, temperature=temperature, seed=seed,
                     logit_bias={str(quote): 12}).choices[0]
        if choice.finish_reason == "stop":
            assert isinstance(json.loads(choice.message.content), dict), choice.message.content
        else:
            assert choice.message.content.lstrip().startswith("{")


@case("response_format json_schema, also streamed and at temperature 1")
def _(server):
    for temperature, seed in [(0, 0), (1, 1), (1, 2), (1.5, 3)]:
        fields = {"response_format": json_schema(SCHEMA), "temperature": temperature, "seed": seed}
        choice = ask(server, **fields).choices[0]
        equal(choice.finish_reason, "stop")
        Visit.model_validate_json(choice.message.content)
        streamed = joined(list(ask(server, stream=True, **fields)))
        Visit.model_validate_json(streamed)
        if temperature == 0:
            equal(streamed, choice.message.content)


@case("chat.completions.parse with a pydantic model")
def _(server):
    completion = client(server).chat.completions.parse(
        model=server.model, messages=user(ASTHMA), response_format=Visit, temperature=0)
    assert isinstance(completion.choices[0].message.parsed, Visit)

    async def run():
        async with async_client(server) as api:
            return await api.chat.completions.parse(
                model=server.model, messages=user(ASTHMA), response_format=Visit, temperature=0)
    equal(asyncio.run(run()).choices[0].message.parsed, completion.choices[0].message.parsed)
    with client(server).chat.completions.stream(
            model=server.model, messages=user(ASTHMA), response_format=Visit, temperature=0) as stream:
        equal(stream.get_final_completion().choices[0].message.parsed, completion.choices[0].message.parsed)


@case("parse tells that an answer was cut")
def _(server):
    raises(openai.LengthFinishReasonError, lambda: client(server).chat.completions.parse(
        model=server.model, messages=user(ASTHMA), response_format=Visit, max_tokens=4))


# Tools

TOOLS = [
    {"type": "function", "function": {
        "name": "find_clinic", "description": "Finds the clinic for a condition.", "parameters": {
            "type": "object", "required": ["condition", "weeks"], "additionalProperties": False, "properties": {
                "condition": {"type": "string", "enum": ["asthma", "gout"]}, "weeks": {"type": "integer"}}}}},
    {"type": "function", "function": {
        "name": "today", "description": "The date of today.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False}}},
]


def check_call(choice, names=("find_clinic", "today")):
    equal(choice.finish_reason, "tool_calls")
    [call] = choice.message.tool_calls
    assert call.id and call.type == "function" and call.function.name in names, call
    arguments = json.loads(call.function.arguments)
    if call.function.name == "find_clinic":
        assert arguments["condition"] in ("asthma", "gout") and isinstance(arguments["weeks"], int)
        equal(set(arguments), {"condition", "weeks"})
    else:
        equal(arguments, {})
    return call


@case("tools: auto, none")
def _(server):
    choice = ask(server, tools=TOOLS, tool_choice="auto").choices[0]
    assert choice.message.content or choice.message.tool_calls
    equal(choice.finish_reason, "tool_calls" if choice.message.tool_calls else "stop")
    choice = ask(server, tools=TOOLS, tool_choice="none").choices[0]
    assert choice.message.content and not choice.message.tool_calls


@case("tools: required")
def _(server):
    for seed in range(3):
        choice = ask(server, tools=TOOLS, tool_choice="required", temperature=1, seed=seed).choices[0]
        check_call(choice)
        equal(choice.message.content, None)


def named(name):
    return {"type": "function", "function": {"name": name}}


@case("tools: a named function")
def _(server):
    for name in ("find_clinic", "today"):
        check_call(ask(server, tools=TOOLS, tool_choice=named(name)).choices[0], (name,))


@case("tools: a function whose schema names no arguments gets none")
def _(server):
    for more in [{}, {"parameters": {"type": "object", "properties": {}}}]:
        tools = [{"type": "function", "function": {"name": "now", "description": "The time.", **more}}]
        [call] = ask(server, tools=tools, tool_choice="required").choices[0].message.tool_calls
        equal(json.loads(call.function.arguments), {})


@case("tools: streamed")
def _(server):
    chunks = list(ask(server, tools=TOOLS, tool_choice=named("find_clinic"), stream=True))
    pieces = [call for c in chunks for call in c.choices[0].delta.tool_calls or []]
    equal((pieces[0].index, pieces[0].function.name, bool(pieces[0].id)), (0, "find_clinic", True))
    equal([piece.id for piece in pieces[1:]], [None] * (len(pieces) - 1))
    arguments = "".join(piece.function.arguments or "" for piece in pieces)
    whole = ask(server, tools=TOOLS, tool_choice=named("find_clinic")).choices[0]
    equal(arguments, whole.message.tool_calls[0].function.arguments)
    equal(chunks[-1].choices[0].finish_reason, "tool_calls")


@case("tools: there and back with a result")
def _(server):
    first = ask(server, tools=TOOLS, tool_choice="required").choices[0].message
    call = first.tool_calls[0]
    reply = ask(server, tools=TOOLS, messages=[
        *user(ASTHMA), first.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "The chest clinic, in two weeks."}])
    assert reply.choices[0].message.content or reply.choices[0].message.tool_calls


@case("tools: parse with pydantic_function_tool")
def _(server):
    class FindClinic(pydantic.BaseModel):
        """Finds a clinic."""
        condition: typing.Literal["asthma", "gout"]

    completion = client(server).chat.completions.parse(
        model=server.model, messages=user(ASTHMA), tools=[openai.pydantic_function_tool(FindClinic)],
        tool_choice="required", temperature=0)
    [call] = completion.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, FindClinic)


@case("tools: a call that is cut ends with length")
def _(server):
    fields = {"tools": TOOLS, "tool_choice": named("find_clinic")}
    whole = ask(server, **fields)
    cut = 0
    for limit in range(whole.usage.completion_tokens // 2, whole.usage.completion_tokens):
        choice = ask(server, max_tokens=limit, **fields).choices[0]
        if choice.message.tool_calls and not is_json(choice.message.tool_calls[0].function.arguments):
            cut += 1
            equal(choice.finish_reason, "length")
    assert cut, "no limit cut the call"


def is_json(text):
    try:
        json.loads(text)
        return True
    except ValueError:
        return False
