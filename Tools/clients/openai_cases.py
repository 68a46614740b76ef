"""The official `openai` client: chat completions."""

import asyncio
import json
import typing

import openai
import pydantic

from harness import Cases, Skip, equal, raises, user

case = Cases("openai")

ASTHMA = "What are the symptoms of asthma?"
QUESTIONS = [
    ASTHMA, "What is bisoprolol for?", "How do I prepare for a heart scan?", "What are the symptoms of migraine?",
    "What is naproxen for?", "Hello", "What is gout?", "What are the symptoms of hay fever?", "What is sertraline for?",
    "How do I prepare for a blood test?", "What are the symptoms of anxiety?", "What is metformin for?",
    "What is heart failure?", "What are the symptoms of depression?", "Tell me about kidney stones.", "What is angina?",
]


def client(server, **more):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120, **more)


def async_client(server):
    return openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120)


def ask(server, text=ASTHMA, **fields):
    fields = {"temperature": 0, "messages": user(text)} | fields
    return client(server).chat.completions.create(model=server.model, **fields)


def joined(chunks, choice=0):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices and c.choices[0].index == choice)


@case("a chat completion")
def _(server):
    reply = ask(server)
    equal((reply.object, reply.model, reply.id.startswith("chatcmpl-")), ("chat.completion", server.model, True))
    choice = reply.choices[0]
    equal((choice.index, choice.finish_reason, choice.message.role), (0, "stop", "assistant"))
    assert choice.message.content and choice.message.tool_calls is None and choice.logprobs is None
    usage = reply.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)


@case("headers say what an answer cost")
def _(server):
    raw = client(server).chat.completions.with_raw_response.create(model=server.model, messages=user("Hello"))
    equal(raw.headers["x-scx-profile"], server.profile)
    assert int(raw.headers["x-scx-exchanges"]) > 0
    assert raw.parse().choices[0].message.content


@case("text parts are a text, a developer is a system")
def _(server):
    whole = ask(server, messages=[{"role": "system", "content": "Be brief."}, *user(ASTHMA)])
    parts = ask(server, messages=[
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": ASTHMA}]}])
    equal(parts.choices[0].message.content, whole.choices[0].message.content)


@case("max_tokens and max_completion_tokens cut an answer")
def _(server):
    for name in ["max_tokens", "max_completion_tokens"]:
        reply = ask(server, **{name: 5})
        equal((reply.choices[0].finish_reason, reply.usage.completion_tokens), ("length", 5))


@case("the async client")
def _(server):
    async def run():
        async with async_client(server) as api:
            reply = await api.chat.completions.create(model=server.model, messages=user(ASTHMA), temperature=0)
            stream = await api.chat.completions.create(
                model=server.model, messages=user(ASTHMA), temperature=0, stream=True)
            return reply.choices[0].message.content, joined([chunk async for chunk in stream])
    whole, streamed = asyncio.run(run())
    equal(streamed, whole)


@case("a stream: role, words, finish")
def _(server):
    chunks = list(ask(server, stream=True))
    equal((chunks[0].choices[0].delta.role, chunks[0].object), ("assistant", "chat.completion.chunk"))
    equal(joined(chunks), ask(server).choices[0].message.content)
    equal([c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason], ["stop"])
    equal(chunks[-1].choices[0].finish_reason, "stop")
    equal(({c.id for c in chunks}, {c.usage for c in chunks}), ({chunks[0].id}, {None}))
    assert len(chunks) > 5


@case("a stream with include_usage")
def _(server):
    chunks = list(ask(server, stream=True, stream_options={"include_usage": True}))
    equal((chunks[-1].choices, {c.usage for c in chunks[:-1]}), ([], {None}))
    whole = ask(server).usage
    equal((chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens),
          (whole.prompt_tokens, whole.completion_tokens))


@case("the stream helper's events")
def _(server):
    with client(server).chat.completions.stream(
            model=server.model, messages=user(ASTHMA), temperature=0) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds, kinds
    equal(final.choices[0].message.content, ask(server).choices[0].message.content)


@case("n=2, whole and streamed")
def _(server):
    reply = ask(server, n=2, temperature=1.5, seed=7, max_tokens=20)
    equal([choice.index for choice in reply.choices], [0, 1])
    texts = [choice.message.content for choice in reply.choices]
    assert texts[0] != texts[1], "both answers are the same"
    chunks = list(ask(server, n=2, temperature=1.5, seed=7, max_tokens=20, stream=True))
    streamed = [joined(chunks, 0), joined(chunks, 1)]
    assert all(streamed) and streamed[0] != streamed[1]
    equal(sum(bool(c.choices[0].finish_reason) for c in chunks), 2)
    if server.repeats_draws:
        equal(streamed, texts)


@case("stop")
def _(server):
    whole = ask(server).choices[0].message.content
    words = whole.split()
    mark = " " + words[3]
    for stop in [mark, ["never to be seen", mark]]:
        choice = ask(server, stop=stop).choices[0]
        equal((choice.message.content, choice.finish_reason), (whole[:whole.index(mark)], "stop"))
    equal(joined(list(ask(server, stop=mark, stream=True))), whole[:whole.index(mark)])


@case("the same seed draws the same, another seed another")
def _(server):
    if not server.repeats_draws:
        raise Skip("the noise is another in each request, so that a seed repeats most draws and not all")
    texts = [ask(server, temperature=1.5, seed=seed, max_tokens=30).choices[0].message.content for seed in (1, 1, 2)]
    equal(texts[0], texts[1])
    assert texts[0] != texts[2], "two seeds drew the same"


@case("penalties, top_p and further fields are taken")
def _(server):
    ask(server, presence_penalty=0.5, frequency_penalty=0.5, top_p=0.9, temperature=0.7, user="somebody",
        max_tokens=8, extra_body={"top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1, "no_such_field": 1})
    reply = ask(server, max_tokens=60, extra_body={"ignore_eos": True})
    equal((reply.usage.completion_tokens, reply.choices[0].finish_reason), (60, "length"))


@case("logprobs and top_logprobs")
def _(server):
    reply = ask(server, logprobs=True, top_logprobs=3)
    content = reply.choices[0].logprobs.content
    # The token that ends an answer may or may not be listed; it has no text.
    assert len(content) in (reply.usage.completion_tokens, reply.usage.completion_tokens - 1)
    text = b"".join(bytes(entry.bytes) for entry in content).decode()
    assert text.startswith(reply.choices[0].message.content), text
    for entry in content:
        top = [other.logprob for other in entry.top_logprobs]
        assert len(top) == 3 and top == sorted(top, reverse=True) and entry.logprob <= 0
        equal((entry.top_logprobs[0].token, entry.top_logprobs[0].logprob), (entry.token, entry.logprob))
    plain = ask(server, logprobs=True).choices[0].logprobs.content
    equal([len(entry.top_logprobs) for entry in plain], [0] * len(plain))
    streamed = [entry for chunk in ask(server, logprobs=True, stream=True)
                if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content]
    equal([entry.token for entry in streamed], [entry.token for entry in plain])


@case("logit_bias")
def _(server):
    first = ask(server, max_tokens=1).choices[0].message.content
    [token] = server.tokens(first)
    assert ask(server, max_tokens=1, logit_bias={str(token): -100}).choices[0].message.content != first
    [other] = server.tokens(" day")
    equal(ask(server, max_tokens=3, logit_bias={str(other): 100}).choices[0].message.content.split(), ["day"] * 3)


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


# Errors

@case("errors: an unknown model")
def _(server):
    error = raises(openai.NotFoundError, lambda: client(server).chat.completions.create(
        model="no-such-model", messages=user("Hello")), status_code=404, code="model_not_found", param="model")
    equal(set(error.body), {"message", "type", "param", "code"})


@case("errors: bad fields name themselves")
def _(server):
    for field, value in [
            ("temperature", -1), ("top_p", 2), ("n", 0), ("max_tokens", 0), ("stop", [""]), ("logit_bias", {"x": 1}),
            ("tool_choice", "required"), ("messages", []), ("top_logprobs", 3), ("response_format", {"type": "xml"}),
            ("response_format", json_schema({"type": "nothing"}))]:
        error = raises(openai.BadRequestError, lambda: ask(server, **{field: value}), status_code=400,
                       type="invalid_request_error")
        assert error.body["message"] and error.param and error.param.startswith(field), (field, error.body)


@case("errors: an error of a stream comes before it")
def _(server):
    raises(openai.BadRequestError, lambda: ask(server, temperature=-1, stream=True), param="temperature")


@case("errors: a prompt that is too long")
def _(server):
    raises(openai.BadRequestError, lambda: ask(server, "heart " * 200_000), code="context_length_exceeded")


@case("errors: paths and methods that are not there")
def _(server):
    api = client(server)
    raises(openai.NotFoundError, lambda: api.post("/nothing", cast_to=object), status_code=404)
    error = raises(openai.APIStatusError, lambda: api.get("/chat/completions", cast_to=object), status_code=405)
    equal(error.response.headers["allow"], "POST")
    equal(set(error.body), {"message", "type", "param", "code"})


# Together

@case("16 requests at once answer as each alone")
def _(server):
    alone = [ask(server, question, max_tokens=60).choices[0].message.content for question in QUESTIONS]

    async def run():
        async with async_client(server) as api:
            replies = await asyncio.gather(*[api.chat.completions.create(
                model=server.model, messages=user(question), temperature=0, max_tokens=60) for question in QUESTIONS])
            return [reply.choices[0].message.content for reply in replies]
    together = asyncio.run(run())
    different = [q for q, a, b in zip(QUESTIONS, alone, together) if a != b]
    equal(different, [])


@case("a stream that is left ends its request, and the server goes on")
def _(server):
    for _ in range(5):
        stream = ask(server, stream=True, temperature=1, extra_body={"ignore_eos": True})
        for index, _ in enumerate(stream):
            if index == 5:
                break
        stream.close()

    async def leave():
        async with async_client(server) as api:
            task = asyncio.create_task(api.chat.completions.create(
                model=server.model, messages=user(ASTHMA), extra_body={"ignore_eos": True}))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    asyncio.run(leave())
    assert ask(server).choices[0].message.content
    for _ in range(50):
        if server.running() == 0:
            return
        asyncio.run(asyncio.sleep(0.1))
    raise AssertionError(f"{server.running()} requests still run")
