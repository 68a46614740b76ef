"""langchain's standard tests of chat models, on `ChatOpenAI` and `scx serve`; run by pytest from `check-clients`.

The bundled model has 3 million parameters and cannot find an argument in a question. Where a test compares arguments,
their values are put into the function's schema, which answers are held to; all else of the test stays as it is.
Strings are made to end soon by `logit_bias`, and the agent of `test_agent_loop` is told to call its function.

What is skipped: images, audio, PDF and Anthropic's blocks, since the endpoint takes text alone; `test_stream_time`,
which wants recorded traffic; and `test_json_mode`, which wants two names in an object that may have any.
"""

import os
import typing

import langchain_core.tools
import langchain_openai
import langchain_tests.integration_tests.chat_models as standard
import pydantic
import pytest

# The token `,"`: where it is made likely, a JSON string ends soon, and not empty.
ENDING = {os.environ["SCX_ENDING_TOKEN"]: 30}


class MagicArguments(pydantic.BaseModel):
    input: typing.Literal[3]


class CustomerArguments(pydantic.BaseModel):
    customer_name: typing.Literal["你好こんにちは"]
    description: typing.Literal["公司"]


@langchain_core.tools.tool(args_schema=MagicArguments)
def magic_function(input: int) -> int:
    """Apply a magic function to an input."""
    return input + 2


@langchain_core.tools.tool(args_schema=CustomerArguments)
def unicode_customer(customer_name: str, description: str) -> str:
    """Tool for creating a customer with a name in Unicode."""
    return customer_name + description


standard.magic_function = magic_function
standard.unicode_customer = unicode_customer


class CallingChatOpenAI(langchain_openai.ChatOpenAI):
    """Binds tools so that one has to be called."""

    def bind_tools(self, tools, **options):
        return super().bind_tools(tools, **{"tool_choice": "any"} | options)


class TestChatOpenAI(standard.ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return langchain_openai.ChatOpenAI

    @property
    def chat_model_params(self):
        return {
            "model": os.environ["SCX_MODEL"], "base_url": os.environ["SCX_URL"] + "/v1", "api_key": "none",
            "temperature": 0, "max_retries": 0, "stream_usage": True,
        }

    # What ends strings early.
    pushed = {"logit_bias": ENDING}

    @property
    def model_override_value(self):
        return os.environ["SCX_MODEL"] + ":" + os.environ["SCX_PROFILE"]

    @property
    def supports_json_mode(self):
        return True

    @property
    def supported_usage_metadata_details(self):
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream=False):
        model = self.chat_model_class(**self.chat_model_params)
        question = "What are the symptoms of asthma?"
        model.invoke(question)
        if not stream:
            return model.invoke(question)
        chunks = list(model.stream(question))
        return sum(chunks[1:], chunks[0])

    @pytest.fixture
    def model(self, request):
        """The toy model hardly ever ends a JSON string by itself, and does not decide on a call by itself."""
        name = request.node.name
        more = dict(getattr(request, "param", None) or {})
        if any(kind in name for kind in ("structured", "tool", "agent")):
            more |= self.pushed
        kind = CallingChatOpenAI if "agent_loop" in name else self.chat_model_class
        return kind(**{**self.standard_chat_model_params, **self.chat_model_params, **more})

    @pytest.mark.xfail(
        run=False, reason="json_mode allows any object, and the toy model cannot give it the two names that are wanted")
    def test_json_mode(self, model):
        super().test_json_mode(model)


class TestResponses(TestChatOpenAI):
    """The same through /v1/responses."""

    # That interface has no `logit_bias` in OpenAI's client; the server takes it all the same.
    pushed = {"extra_body": {"logit_bias": ENDING}}

    @property
    def chat_model_params(self):
        return super().chat_model_params | {"use_responses_api": True, "output_version": "responses/v1"}
