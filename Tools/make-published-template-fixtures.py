"""Write what Jinja renders from published chat templates, for the test `published templates`.

    make-published-template-fixtures.py OUT PATH...

Each PATH is a `.jinja` file, a folder of such files, or a model directory with a `tokenizer_config.json`. For each
template OUT gets a file NAME.json: the template, and the text (or the error) of eleven conversations with jinja2 in the
environment of `transformers.apply_chat_template`. The templates belong to their authors, so OUT is no folder of this
repository; only those whose licence allows it are in `Tests/Fixtures/templates/published`. Needs jinja2 (3.1).

    SCX_TEMPLATES=OUT swift test --filter PublishedTemplateTests
"""

import importlib.util
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("fixtures", HERE / "make-template-fixtures.py")
fixtures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fixtures)
say, render, call, WEATHER, CLOCK = fixtures.say, fixtures.render, fixtures.called, fixtures.WEATHER, fixtures.CLOCK

SIMPLE = fixtures.function(
    "search",
    "Look something up",
    {
        "query": {"type": "string", "description": "What to look for"},
        "most": {"type": "integer", "description": "How many", "default": 3},
    },
    ["query"],
)
PLACE = fixtures.weather(
    {
        "scale": {"type": "string", "enum": ["C", "F"], "default": "C"},
        "extra": {"type": "object", "properties": {"wind": {"type": "boolean"}, "height": {"type": "number"}}, "required": ["wind"]},
        "day": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    }
)
QUESTION = say("user", "Weather in Zürich?")
CALLED = {"role": "assistant", "content": "", "tool_calls": [call("abcdefg12", "get_weather", {"place": "Zürich ☔", "days": 2})]}
RESULT = say("tool", '{"temp": 21.5}', tool_call_id="abcdefg12", name="get_weather")
PARTS = [{"type": "text", "text": "What is "}, {"type": "text", "text": "this? "}]

CONVERSATIONS = {
    "plain": {"messages": [say("user", " Hello!\n"), say("assistant", "Hi, 日本語."), say("user", "naïve, e\u0301, 👩‍⚕️?")]},
    "system": {"messages": [say("system", "You are terse.\n"), say("user", "Who was Semmelweis?")]},
    "tools": {"messages": [say("system", "S"), QUESTION], "tools": [PLACE, CLOCK, SIMPLE]},
    "tool results": {"messages": [QUESTION, CALLED, RESULT, say("assistant", "It is 21.5 °C."), say("user", "Thanks")], "tools": [PLACE, SIMPLE]},
    "two calls, then": {
        "messages": [
            say("system", "S"),
            QUESTION,
            {"role": "assistant", "content": "I look.", "tool_calls": [*CALLED["tool_calls"], call("Q1w2E3r4T", "clock", {})]},
            RESULT,
            say("tool", "noon", tool_call_id="Q1w2E3r4T", name="clock"),
        ],
        "tools": [PLACE, CLOCK],
    },
    "odd tools, no content": {"messages": [QUESTION, {**CALLED, "content": None}, RESULT], "tools": [WEATHER, CLOCK]},
    "parts": {"messages": [say("system", [{"type": "text", "text": "Look."}]), say("user", PARTS)]},
    "thinking": {
        "messages": [
            say("user", "x"),
            say("assistant", "<think>\nlong\n\n</think>\n\nshort"),
            say("user", "y"),
            say("assistant", "", reasoning_content="\nbecause\n", thinking="because", tool_calls=[call("abcdefg12", "search", {"query": "a\n'b'", "most": 1})]),
            say("tool", "found", tool_call_id="abcdefg12", name="search"),
        ],
        "tools": [SIMPLE],
        "enable_thinking": True,
        "thinking": True,
        "reasoning_effort": "high",
    },
    "no thinking": {"messages": [say("user", "q")], "enable_thinking": False, "thinking": False},
    "answered": {"messages": [say("user", "1+1?"), say("assistant", "2", reasoning_content="one and one")], "add_generation_prompt": False},
    "documents": {"messages": [say("user", "Read.")], "documents": [{"title": "Första", "text": "a\n\nb"}, {"title": "second", "text": "only"}]},
}


def templates(path):
    """Names and texts of the templates at a path."""
    if path.is_dir() and (path / "tokenizer_config.json").exists():
        own = path / "chat_template.jinja"
        value = own.read_text() if own.exists() else json.loads((path / "tokenizer_config.json").read_text()).get("chat_template")
        if isinstance(value, str):
            yield path.name, value
        for entry in value if isinstance(value, list) else []:
            yield f"{path.name}.{entry['name']}", entry["template"]
    elif path.is_dir():
        for file in sorted(path.glob("*.jinja")):
            yield file.stem, file.read_text()
    else:
        yield path.stem, path.read_text()


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for argument in sys.argv[2:]:
        for name, template in templates(pathlib.Path(argument)):
            runs = []
            for title, conversation in CONVERSATIONS.items():
                variables = {"add_generation_prompt": True, "tools": None, "documents": None, "bos_token": "<s>", "eos_token": "</s>", **conversation}
                runs.append({"title": title, "variables": variables, **render(template, variables)})
            text = json.dumps({"name": name, "template": template, "runs": runs}, ensure_ascii=False, indent=1)
            (out / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
