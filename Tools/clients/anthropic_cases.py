"""The official `anthropic` client."""

import asyncio

import anthropic

from harness import Cases, equal, raises, user
from openai_cases import ASTHMA, ask

case = Cases("anthropic")

TOOLS = [{
    "name": "find_clinic", "description": "Finds the clinic for a condition.", "input_schema": {
        "type": "object", "required": ["condition", "weeks"], "additionalProperties": False, "properties": {
            "condition": {"type": "string", "enum": ["asthma", "gout"]}, "weeks": {"type": "integer"}}}}]


def client(server):
    return anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=120)


def fields(server, more):
    # The client has no `temperature` of its own any more.
    return {
        "model": server.model, "max_tokens": 100, "messages": user(ASTHMA), "extra_body": {"temperature": 0}} | more


def create(server, **more):
    return client(server).messages.create(**fields(server, more))


@case("messages.create")
def _(server):
    reply = create(server)
    equal((reply.type, reply.role, reply.model, reply.id.startswith("msg_")),
          ("message", "assistant", server.model, True))
    equal([(block.type, block.text) for block in reply.content],
          [("text", ask(server).choices[0].message.content)])
    equal((reply.stop_reason, reply.stop_sequence), ("end_turn", None))
    assert reply.usage.input_tokens > 0 and reply.usage.output_tokens > 0
    equal(create(server, max_tokens=4).stop_reason, "max_tokens")
    named = f"{server.model}:{server.profile}"
    equal(create(server, model=named).model, named)
    parts = create(server, system=[{"type": "text", "text": "Be brief."}], messages=[
        {"role": "user", "content": [{"type": "text", "text": ASTHMA, "cache_control": {"type": "ephemeral"}}]}])
    equal(parts.content[0].text, create(server, system="Be brief.").content[0].text)


@case("stop_sequences")
def _(server):
    whole = create(server).content[0].text
    mark = " " + whole.split()[3]
    reply = create(server, stop_sequences=["never to be seen", mark])
    equal((reply.content[0].text, reply.stop_reason, reply.stop_sequence),
          (whole[:whole.index(mark)], "stop_sequence", mark))


@case("the async client")
def _(server):
    async def run():
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0) as api:
            whole = await api.messages.create(**fields(server, {}))
            async with api.messages.stream(**fields(server, {})) as stream:
                return whole.content[0].text, "".join([text async for text in stream.text_stream])
    whole, streamed = asyncio.run(run())
    equal(streamed, whole)


@case("a stream")
def _(server):
    whole = create(server)
    with client(server).messages.stream(**fields(server, {})) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    equal((text, final.content[0].text, final.stop_reason), (whole.content[0].text,) * 2 + ("end_turn",))
    equal((final.usage.input_tokens, final.usage.output_tokens),
          (whole.usage.input_tokens, whole.usage.output_tokens))
    kinds = [event.type for event in create(server, stream=True) if event.type != "ping"]
    equal(kinds[:2], ["message_start", "content_block_start"])
    equal(kinds[-3:], ["content_block_stop", "message_delta", "message_stop"])
    equal(set(kinds[2:-3]), {"content_block_delta"})


@case("tools, there and back")
def _(server):
    for choice in [{"type": "any"}, {"type": "tool", "name": "find_clinic"}]:
        first = create(server, tools=TOOLS, tool_choice=choice, max_tokens=300)
        equal(first.stop_reason, "tool_use")
        [call] = [block for block in first.content if block.type == "tool_use"]
        equal(call.name, "find_clinic")
        assert call.input["condition"] in ("asthma", "gout") and isinstance(call.input["weeks"], int)
    with client(server).messages.stream(
            **fields(server, {"tools": TOOLS, "tool_choice": choice, "max_tokens": 300})) as stream:
        for _ in stream:
            pass
        [same] = [block for block in stream.get_final_message().content if block.type == "tool_use"]
    equal((same.name, same.input), (call.name, call.input))
    reply = create(server, tools=TOOLS, messages=[
        *user(ASTHMA), {"role": "assistant", "content": [block.to_dict() for block in first.content]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": call.id, "content": "The chest clinic, in two weeks."}]}])
    assert reply.content
    none = create(server, tools=TOOLS, tool_choice={"type": "none"})
    equal([block.type for block in none.content], ["text"])


@case("a call that is cut ends with max_tokens")
def _(server):
    more = {"tools": TOOLS, "tool_choice": {"type": "any"}}
    whole = create(server, max_tokens=300, **more).usage.output_tokens
    for limit in (25, whole // 2, whole * 3 // 4):
        equal(create(server, max_tokens=limit, **more).stop_reason, "max_tokens")


@case("count_tokens")
def _(server):
    for more in [{}, {"system": "Be brief."}, {"tools": TOOLS}]:
        counted = client(server).messages.count_tokens(model=server.model, messages=user(ASTHMA), **more)
        used = create(server, max_tokens=1, **more).usage
        equal(counted.input_tokens, used.input_tokens + (used.cache_read_input_tokens or 0)
              + (used.cache_creation_input_tokens or 0))


@case("errors")
def _(server):
    error = raises(anthropic.NotFoundError, lambda: create(server, model="no-such-model"), status_code=404)
    equal((error.body["type"], error.body["error"]["type"]), ("error", "not_found_error"))
    for field, value in [("extra_body", {"temperature": -1}), ("max_tokens", 0), ("messages", []),
                         ("stop_sequences", [""]),
                         ("messages", [{"role": "system", "content": "x"}]), ("tools", [{"name": "x"}]),
                         ("tool_choice", {"type": "tool", "name": "missing"})]:
        for stream in (False, True):
            error = raises(anthropic.BadRequestError, lambda: create(server, stream=stream, **{field: value}))
            equal((error.body["type"], error.body["error"]["type"]), ("error", "invalid_request_error"))
            told = "temperature" if field == "extra_body" else field
            assert told in error.body["error"]["message"], (field, error.body)
    raises(anthropic.BadRequestError, lambda: create(server, messages=user("heart " * 2000)))
