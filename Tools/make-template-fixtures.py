"""Write Tests/Fixtures/templates: templates, variables, and what Jinja renders from them.

Needs jinja2 (3.1). The environment is the one in which Hugging Face renders chat templates. Every template here was
written for these tests; together they use the constructs that the published templates of the common families use.
"""

import json
import pathlib
from datetime import datetime

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "templates"
NOW = datetime(2024, 7, 4, 15, 6, 7)


class Generation(jinja2.ext.Extension):
    """`{% generation %}`: marks the assistant's words; renders its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise TemplateError(message)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def render(template, variables):
    """Either {"expected": text} or {"error": reason}."""
    try:
        return {"expected": environment().from_string(template).render(**variables)}
    except Exception as error:  # whatever Jinja or Python says, ours has to be an error too
        return {"error": f"{type(error).__name__}: {error}"}


# --- templates in the manner of the families ---------------------------------------------------------------------

TEMPLATES = {}

TEMPLATES["chatml"] = """\
{% for message in messages %}
{% if loop.first and messages[0]['role'] != 'system' %}
{{ '<|im_start|>system\\nYou are a careful helper.<|im_end|>\\n' }}
{% endif %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{% endif %}
"""

TEMPLATES["turns"] = """\
{% for m in messages %}
{%- if m.role == "user" %}
{{ "<|user|>\\n" + m.content + eos_token }}
{% elif m.role == "system" %}
{{ "<|system|>\\n" + m.content + eos_token }}
{% elif m.role == "assistant" %}
{{ "<|assistant|>\\n"  + m.content + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ "<|assistant|>" }}
{% endif %}
{% endfor %}"""

TEMPLATES["inst-system-merged"] = """\
{% if messages[0]['role'] == 'system' %}
    {% set turns = messages[1:] %}
    {% set preamble = messages[0]['content'] %}
{% else %}
    {% set turns = messages %}
    {% set preamble = false %}
{% endif %}
{% for turn in turns %}
    {% if (turn['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Roles have to alternate: user, assistant, user, assistant') }}
    {% endif %}
    {% if loop.index0 == 0 and preamble != false %}
        {% set words = '<<SYS>>\\n' + preamble + '\\n<</SYS>>\\n\\n' + turn['content'] %}
    {% else %}
        {% set words = turn['content'] %}
    {% endif %}
    {% if turn['role'] == 'user' %}
        {{ bos_token + '[INST] ' + words.strip() + ' [/INST]' }}
    {% elif turn['role'] == 'assistant' %}
        {{ ' ' + words.strip() + ' ' + eos_token }}
    {% endif %}
{% endfor %}
"""

TEMPLATES["inst-tools"] = """\
{%- if messages[0]["role"] == "system" %}
    {%- set system_text = messages[0]["content"] %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set turns = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set asked = turns | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for turn in turns %}
    {%- if not (turn.role == "tool" or turn.role == "tool_results" or (turn.tool_calls is defined and turn.tool_calls is not none)) %}
        {%- if (turn["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for turn in turns %}
    {%- if turn["role"] == "user" %}
        {%- if tools is not none and (turn == asked[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
            {%- endif %}
        {%- if loop.last and system_text is defined %}
            {{- "[INST] " + system_text + "\\n\\n" + turn["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + turn["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif turn.tool_calls is defined and turn.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for call in turn.tool_calls %}
            {%- set out = call.function|tojson %}
            {{- out[:-1] }}
            {%- if not call.id is defined or call.id|length != 9 %}
                {{- raise_exception("Ids of tool calls have nine letters or digits!") }}
            {%- endif %}
            {{- ', "id": "' + call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif turn["role"] == "assistant" %}
        {{- " " + turn["content"]|trim + eos_token}}
    {%- elif turn["role"] == "tool_results" or turn["role"] == "tool" %}
        {%- if turn.content is defined and turn.content.content is defined %}
            {%- set content = turn.content.content %}
        {%- else %}
            {%- set content = turn.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + turn.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are known") }}
    {%- endif %}
{%- endfor %}
"""

TEMPLATES["inst-named"] = """\
{%- set ns = namespace(system="", last=-1) %}
{%- for turn in messages %}
    {%- if turn.role == "system" %}
        {%- set ns.system = turn.content %}
    {%- elif turn.role == "user" %}
        {%- set ns.last = loop.index0 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- if ns.system %}
    {{- "[SYSTEM_PROMPT]" + ns.system + "[/SYSTEM_PROMPT]" }}
{%- endif %}
{%- for turn in messages %}
    {%- if turn.role == "user" %}
        {%- if tools and loop.index0 == ns.last %}
            {{- "[AVAILABLE_TOOLS]" + (tools | tojson) + "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {{- "[INST]" + turn.content + "[/INST]" }}
    {%- elif turn.role == "assistant" %}
        {%- if turn.content is string %}
            {{- turn.content }}
        {%- endif %}
        {%- for call in turn.tool_calls or [] %}
            {%- if call.id | length != 9 %}
                {{- raise_exception("Ids of tool calls have nine characters") }}
            {%- endif %}
            {{- "[TOOL_CALLS]" + call.function.name + "[ARGS]" }}
            {%- if call.function.arguments is string %}
                {{- call.function.arguments }}
            {%- else %}
                {{- call.function.arguments | tojson }}
            {%- endif %}
        {%- endfor %}
        {{- eos_token }}
    {%- elif turn.role == "tool" %}
        {{- "[TOOL_RESULTS]" + turn.tool_call_id + "[TOOL_CONTENT]" + turn.content + "[/TOOL_RESULTS]" }}
    {%- endif %}
{%- endfor %}
"""

TEMPLATES["headers"] = """\
{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

TEMPLATES["headers-tools"] = """\
{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message is taken out, so that it can be put where it belongs. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\\n\\n"}}
{%- endif %}
{{- "Knowledge ends: December 2023\\n" }}
{{- "Today: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "These functions can be called; answer with JSON. " }}
    {{- 'Write {"name": function name, "parameters": names and values}.' }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Tools need a first user message to stand in!") }}
    {%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "Call one of these functions.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("One call at a time is what this model can do") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

TEMPLATES["thinking"] = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\nSignatures are inside <tools></tools>:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\nAnswer inside <tool_call></tool_call>:\\n{\\"name\\": <name>, \\"arguments\\": <json>}<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(searching=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set thoughts = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thoughts = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set thoughts = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query %}
            {%- if loop.last or (not loop.last and thoughts) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + thoughts.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

TEMPLATES["model-turns"] = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles have to alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"""

TEMPLATES["parts"] = """\
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}
"""

TEMPLATES["sentence-marks"] = """\
{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is none %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}{{'<|Assistant|><|calls|><|call|>' + tool['type'] + '<|sep|>' + tool['function']['name'] + '\\n' + '```json' + '\\n' + tool['function']['arguments']|tojson + '\\n' + '```' + '<|end|>'}}{%- set ns.is_first = true -%}{%- else %}{{'\\n' + '<|call|>' + tool['type'] + '<|sep|>' + tool['function']['name'] + '<|end|>'}}{%- endif %}{%- endfor %}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}{{'<|outputs-end|>' + message['content'] + '<|eos|>'}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + '<|eos|>'}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}{{'<|outputs|><|output|>' + message['content'] ~ '<|out-end|>'}}{%- set ns.is_output_first = false %}{%- else %}{{'\\n<|output|>' + message['content'] ~ '<|out-end|>'}}{%- endif %}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'<|outputs-end|>'}}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{'<|Assistant|><think>\\n'}}{% endif %}"""

TEMPLATES["schema-macros"] = """\
{%- macro json_to_python_type(json_spec) %}
{%- set basic = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"} %}
{%- if basic[json_spec.type] is defined %}
    {{- basic[json_spec.type] }}
{%- elif json_spec.type == "array" %}
    {{- "list[" +  json_to_python_type(json_spec|items|list and json_spec['items']) + "]" }}
{%- elif json_spec.type == "object" %}
    {%- if json_spec.additionalProperties is defined %}
        {{- "dict[str, " + json_to_python_type(json_spec.additionalProperties) + ']' }}
    {%- else %}
        {{- "dict" }}
    {%- endif %}
{%- elif json_spec.type is iterable %}
    {{- "Union[" }}
    {%- for t in json_spec.type %}
      {{- json_to_python_type({"type": t}) }}
      {%- if not loop.last %}
        {{- "," }}
    {%- endif %}
    {%- endfor %}
    {{- "]" }}
{%- else %}
    {{- "Any" }}
{%- endif %}
{%- endmacro %}
{%- macro line(name, spec, required=[], mark="*") -%}
  {{ "    " ~ name ~ (mark if name in required else "") }}({{ json_to_python_type(spec) }}): {{ spec.description | default("no description") }}
{% endmacro -%}
{{- bos_token }}
{%- if tools is iterable and tools | length > 0 %}
    {{- "<|im_start|>system\\n" }}
    {%- for tool in tools %}
        {%- if tool.function is defined %}
            {%- set tool = tool.function %}
        {%- endif %}
        {{- '{"type": "function", "function": ' }}
        {{- '{"name": "' + tool.name + '", ' }}
        {{- '"description": "' + tool.name + '(' }}
        {%- for param_name, param_fields in tool.parameters.properties|items %}
            {{- param_name + ": " + json_to_python_type(param_fields) }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- endif %}
        {%- endfor %}
        {{- ")" }}
        {%- if tool.return is defined %}
            {{- " -> " + json_to_python_type(tool.return) }}
        {%- endif %}
        {{- " - " + tool.description + "\\n" }}
        {%- for name, spec in tool.parameters.properties | dictsort %}
            {{- line(name, spec, required=tool.parameters.required) }}
        {%- endfor %}
        {{- '", "parameters": ' + (tool.parameters | tojson(sort_keys=true)) + "}" }}
        {%- if not loop.last %}
            {{- "\\n" }}
        {%- endif %}
    {%- endfor %}
    {{- "<|im_end|>\\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or message.role == "system" or (message.role == "assistant" and message.tool_calls is not defined) %}
        {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- for tool_call in message.tool_calls %}
            {{- '\\n<tool_call>\\n' }}{"name": "{{ tool_call.function.name }}", "arguments": {{ tool_call.function.arguments|tojson }}}
            {{- '\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.previtem and loop.previtem.role != "tool" %}
            {{- '<|im_start|>tool\\n' }}
        {%- endif %}
        {{- '<tool_response>\\n' }}
        {{- message.content }}
        {%- if not loop.last %}
            {{- '\\n</tool_response>\\n' }}
        {%- else %}
            {{- '\\n</tool_response>' }}
        {%- endif %}
        {%- if not loop.last and loop.nextitem.role != "tool" %}
            {{- '<|im_end|>' }}
        {%- elif loop.last %}
            {{- '<|im_end|>' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

TEMPLATES["end-marks"] = """\
{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\\n'}}{% generation %}{{ message['content'] + '<|end|>\\n'}}{% endgeneration %}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""

TEMPLATES["documents"] = """\
{%- for message in messages if message.role != 'tool' -%}
  {%- if message.role not in ['user', 'assistant', 'system'] %}{% continue %}{% endif -%}
  {{ loop.index }}/{{ loop.length }} {{ message.role | title }}: {{ message.content | default('', true) | replace('\\n', ' ') | trim }}
{% else -%}
  nothing
{% endfor -%}
{%- if documents %}
Documents:
{%- for doc in documents %}

[{{ loop.index0 }}] {{ doc.title | upper }}{% if doc.tags %} ({{ doc.tags | map('lower') | unique | sort | join('; ') }}){% endif %}

{{ doc.text | indent(2) }}
  {%- if loop.index > 1 %}{% break %}{% endif %}
{%- endfor %}
{%- endif %}
{% raw %}{{ not read }}{% endraw %}
"""

TEMPLATES["markup-calls"] = """\
{%- macro described(function) %}
<function>
<name>{{ function.name }}</name>
  {%- for key, field in (function.parameters.properties or {}) | items %}
<parameter name="{{ key }}">{{ field.description | default('') | trim }}</parameter>
  {%- endfor %}
</function>
{%- endmacro %}
{%- set first = messages[0].content if messages and messages[0].role == 'system' else none %}
{%- if first is not none or tools %}
    {{- '<|im_start|>system\\n' ~ (first or 'You are a helper.') }}
    {%- if tools is iterable and tools | length > 0 %}
        {{- '\\n\\nYou can call:' }}
        {%- for tool in tools %}{{ described(tool.function if tool.function is defined else tool) }}{% endfor %}
        {{- '\\n\\nCall so:\\n<tool_call>\\n<function=name>\\n<parameter=key>\\nvalue\\n</parameter>\\n</function>\\n</tool_call>' }}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in (messages[1:] if first is not none else messages) %}
    {%- if message.role == 'tool' %}
        {%- if loop.previtem is undefined or loop.previtem.role != 'tool' %}{{- '<|im_start|>user\\n' }}{% endif %}
        {{- '<tool_response>\\n' ~ message.content ~ '\\n</tool_response>\\n' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{- '<|im_end|>\\n' }}{% endif %}
    {%- else %}
        {{- '<|im_start|>' ~ message.role ~ '\\n' }}
        {%- if message.reasoning_content %}{{- '<think>\\n' ~ message.reasoning_content | trim ~ '\\n</think>\\n\\n' }}{% endif %}
        {{- message.content if message.content is string else '' }}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n<tool_call>\\n<function=' ~ call.function.name ~ '>\\n' }}
            {%- for key, value in call.function.arguments | items %}
                {%- set value = value | tojson | safe if value is mapping or (value is sequence and value is not string) else value | string %}
                {{- '<parameter=' ~ key ~ '>\\n' ~ value ~ '\\n</parameter>\\n' }}
            {%- endfor %}
            {{- '</function>\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' ~ ('\\n</think>\\n\\n' if enable_thinking is false else '') }}{% endif %}
"""

TEMPLATES["keyed-calls"] = """\
[start]
{%- macro visible(content) -%}
    {%- if content is string %}{{ content }}{% elif content is iterable and content is not mapping -%}
        {%- for part in content %}{% if part is mapping and part.type == 'text' %}{{ part.text }}{% elif part is string %}{{ part }}{% endif %}{% endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- if tools -%}
<|system|>
Functions:
{% for tool in tools %}
{{ tool | tojson(ensure_ascii=False) }}
{% endfor %}
Each call is <tool_call>name, <arg_key>key</arg_key>, <arg_value>value</arg_value>, </tool_call>.
{%- endif -%}
{%- for m in messages -%}
<|{{ 'observation' if m.role == 'tool' else m.role }}|>
{% if m.role == 'assistant' -%}
    {%- set parts = visible(m.content).split('</think>') -%}
    <think>{{ (m.reasoning_content or '').strip() if loop.last else '' }}</think>{{ parts[-1].strip() }}
    {%- for call in m.tool_calls or [] %}
<tool_call>{{ call.function.name }}
        {%- for key, value in call.function.arguments.items() %}

<arg_key>{{ key }}</arg_key>
<arg_value>{{ value | tojson(ensure_ascii=False) if value is not string else value }}</arg_value>
        {%- endfor %}

</tool_call>
    {%- endfor -%}
{%- else -%}
{{ visible(m.content) }}{{ '/nothink' if m.role == 'user' and enable_thinking is defined and not enable_thinking else '' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<|assistant|>{% endif -%}
"""

TEMPLATES["section-calls"] = """\
{%- if tools -%}<|im_system|>tools<|im_middle|>{{ tools | tojson }}<|im_end|>{%- endif -%}
{%- for message in messages -%}
  <|im_{{ message['role'] }}|>{{ message.get('name') or message['role'] }}<|im_middle|>
  {%- if message['role'] == 'assistant' and message.get('tool_calls') -%}
    {%- if message['content'] %}{{ message['content'] }}{% endif -%}
    <|tool_calls_section_begin|>
    {%- for call in message['tool_calls'] -%}
      <|tool_call_begin|>{{ call['id'] }}<|tool_call_argument_begin|>{{ call['function']['arguments'] | tojson }}<|tool_call_end|>
    {%- endfor -%}
    <|tool_calls_section_end|>
  {%- elif message['role'] == 'tool' -%}
    ## Return of {{ message.tool_call_id }}
{{ message['content'] }}
  {%- elif message['content'] is string -%}
    {{ message['content'] }}
  {%- elif message['content'] is not none -%}
    {%- for part in message['content'] -%}
      {%- if part['type'] == 'image' or 'image_url' in part -%}<|media|>{%- else -%}{{ part['text'] }}{%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  <|im_end|>
{%- endfor -%}
{%- if add_generation_prompt %}<|im_assistant|>assistant<|im_middle|>{% endif -%}
"""

TEMPLATES["channels"] = """\
{#- Thoughts are in channel analysis, calls in commentary. #}
{%- macro kind(schema) -%}
    {%- if schema.type == 'array' %}{{ kind(schema['items'] or {}) ~ '[]' }}
    {%- elif schema.enum %}{{ '"' + schema.enum | join('" | "') + '"' }}
    {%- elif schema.type in ['integer', 'number'] %}number
    {%- elif schema.type is string %}{{ schema.type }}
    {%- else %}any
    {%- endif -%}
{%- endmacro -%}
<|start|>system<|message|>Today: {{ strftime_now('%Y-%m-%d') }}. Effort: {{ reasoning_effort | default('medium') }}.<|end|>
{%- set rest = messages -%}
{%- if messages and messages[0].role in ['system', 'developer'] %}{% set rest = messages[1:] %}{% endif -%}
{%- if tools or rest != messages -%}
<|start|>developer<|message|>
    {%- if rest != messages %}{{ messages[0].content }}{% endif -%}
    {%- for tool in tools or [] %}
        {{- '\\n// ' ~ tool.function.description ~ '\\ntype ' ~ tool.function.name ~ ' = (_: {' }}
        {%- for key, schema in tool.function.parameters.properties.items() -%}
            {{ ' ' ~ key ~ ('' if key in (tool.function.parameters.required or []) else '?') ~ ': ' ~ kind(schema) ~ ',' }}
        {%- endfor -%}
        {{- ' }) => any;' }}
    {%- endfor -%}
<|end|>
{%- endif -%}
{%- set last = namespace(name=none) -%}
{%- for message in rest -%}
    {%- if message.role == 'assistant' and message.tool_calls %}
        {%- if message.content and message.thinking %}{{ raise_exception('either content or thinking') }}{% endif -%}
        {%- set call = message.tool_calls[0].function -%}
        {%- if message.content or message.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ message.content or message.thinking }}<|end|>{% endif -%}
        <|start|>assistant to=functions.{{ call.name }}<|channel|>commentary json<|message|>{{ call.arguments | tojson }}<|call|>
        {%- set last.name = call.name -%}
    {%- elif message.role == 'tool' %}
        {%- if last.name is none %}{{ raise_exception('a result without a call') }}{% endif -%}
        <|start|>functions.{{ last.name }} to=assistant<|channel|>commentary<|message|>{{ message.content | tojson }}<|end|>
    {%- else -%}
        <|start|>{{ message.role }}{{ '<|channel|>final' if message.role == 'assistant' }}<|message|>{{ message.content }}<|end|>
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<|start|>assistant{% endif -%}
"""

TEMPLATES["call-blocks"] = """\
{%- macro fields(schema, indent) %}
  {%- set ns = namespace(text=caller()) %}
  {%- for name, field in schema.properties | items %}
    {%- if field.type == 'object' and field.properties %}
      {%- call fields(field, '  ') %}
        {{- 'class ' + name | title + ':\\n' }}
      {%- endcall %}
    {%- endif %}
    {%- set ns.text = ns.text + indent + name + ': ' + (field.type | string) + ('' if name in schema.required else ' = None') + '\\n' %}
  {%- endfor %}
  {{- ns.text }}
{%- endmacro %}
{%- for tool in tools or [] %}
  {%- call(note='') fields(tool.function.parameters, '    ') %}
    {{- 'def ' + tool.function.name + '(' + tool.function.parameters.properties | join(', ') + '):' + note + '\\n' }}
  {%- endcall %}
{%- endfor %}
{%- filter trim %}
{%- for message in messages %}
<|im_start|>{{ message.role }}
{% if message.tool_calls %}
<|tool_call_start|>
```python
{% for call in message.tool_calls %}
{{ call.function.name }}({% for key, value in call.function.arguments | items %}{{ key }}={{ value | tojson }}{{ ', ' if not loop.last }}{% endfor %})
{% endfor %}
```
<|tool_call_end|>
{% endif %}
{{ message.content or '' }}<|im_end|>
{%- endfor %}
{%- endfilter %}
{%- if add_generation_prompt %}{{ '\\n<|im_start|>assistant\\n' }}{% endif %}
"""

# --- conversations -----------------------------------------------------------------------------------------------

def function(name, description, properties, required, **more):
    """A tool as the OpenAI interface has it."""
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters, **more}}


def weather(properties, **more):
    """A tool whose description has to be escaped, with a few arguments and these."""
    common = {
        "place": {"type": "string", "description": "Town & country"},
        "days": {"type": ["integer", "null"], "description": "How many"},
        "units": {"type": "array", "items": {"type": "string"}},
    }
    return function("get_weather", "Weather \"now\" at a place, in °C <or °F>", {**common, **properties}, ["place"], **more)


WEATHER = weather(
    {"extra": {"type": "object", "additionalProperties": {"type": "number"}}, "any": {"type": "whatever", "default": 1.5}},
    **{"return": {"type": "object"}},
)
CLOCK = function("clock", "The time", {}, [])
CALL = {"id": "abcdefg12", "type": "function", "function": {"name": "get_weather", "arguments": {"place": "Zürich ☔", "days": 2}}}


def say(role, content, **more):
    return {"role": role, "content": content, **more}


CONVERSATIONS = {
    "one question": {"messages": [say("user", "  Hello there!\n")]},
    "system and three turns": {
        "messages": [
            say("system", "You are terse.\n"),
            say("user", "Who was Semmelweis?"),
            say("assistant", " A physician.\n"),
            say("user", "And 日本語, naïve, e\u0301, 👩‍⚕️?"),
        ],
    },
    "wrong order": {"messages": [say("user", "a"), say("user", "b"), say("assistant", "c")]},
    "assistant first": {"messages": [say("assistant", "Good day."), say("user", "Hi")]},
    "answered": {"messages": [say("user", "1+1?"), say("assistant", "<think>\nTwo?\n</think>\n\n2")], "add_generation_prompt": False},
    "thought before": {
        "messages": [
            say("user", "x"),
            say("assistant", "<think>\nlong\n\n</think>\n\nshort"),
            say("user", "y"),
            say("assistant", "z", reasoning_content="\nbecause\n"),
        ],
        "add_generation_prompt": False,
    },
    "no thinking": {"messages": [say("user", "q")], "enable_thinking": False},
    "tools offered": {"messages": [say("system", "S"), say("user", "Weather in Zürich?")], "tools": [WEATHER, CLOCK]},
    "tools offered outside": {
        "messages": [say("system", "S"), say("user", "Weather?")],
        "tools": [WEATHER],
        "tools_in_user_message": False,
        "builtin_tools": ["search", "code_interpreter", "maps"],
        "date_string": "1 Jan 2020",
    },
    "tools used": {
        "messages": [
            say("user", "Weather in Zürich?"),
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            say("tool", "{\"temp\": 21.5}", tool_call_id="abcdefg12"),
            say("assistant", "It is 21.5 °C."),
            say("user", "Thanks"),
        ],
        "tools": [WEATHER],
    },
    "two results": {
        "messages": [
            say("user", "Both?"),
            {"role": "assistant", "content": "Calling", "tool_calls": [CALL, {**CALL, "id": "short"}]},
            say("tool", "one", tool_call_id="a"),
            say("tool", "two", tool_call_id="b"),
        ],
        "tools": [CLOCK],
    },
    "strings as arguments": {
        "messages": [
            say("user", "Go"),
            {"role": "assistant", "content": "", "tool_calls": [{"id": "123456789", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
        ],
    },
    "parts": {
        "messages": [
            say("system", [{"type": "text", "text": "Look."}]),
            say("user", [{"type": "image"}, {"type": "text", "text": " What is this? "}]),
        ],
    },
    "number as content": {"messages": [say("user", 3)]},
    "no messages": {"messages": []},
    "documents": {
        "messages": [say("user", "Line one\nline two"), say("critic", "no"), say("tool", "t"), say("assistant", None)],
        "documents": [
            {"title": "Första", "text": "a\n\nb\nc", "tags": ["B", "a", "b", "Ä"]},
            {"title": "second", "text": "only"},
            {"title": "third", "text": "never"},
        ],
    },
}

# --- conversations with tools, as clients send them ---------------------------------------------------------------

TOOL_TEMPLATES = [
    "inst-tools", "inst-named", "headers-tools", "thinking", "schema-macros", "markup-calls", "keyed-calls", "section-calls",
    "channels", "call-blocks",
]


def called(id, name, arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


SENT = {
    "offered to a developer": {"messages": [say("developer", "Be brief."), say("user", [{"type": "text", "text": "Weather in"}, {"type": "text", "text": "Zürich?"}])], "tools": [WEATHER, CLOCK]},
    "called and answered": {
        "messages": [
            say("user", "Weather in Zürich?"),
            {"role": "assistant", "content": None, "tool_calls": [called("abcdefg12", "get_weather", '{"place": "Zürich ☔ \\"}\\" {", "days":2, "extra": {"x": [1.5, null, true]}}')]},
            say("tool", '{"temp": 21.5}', tool_call_id="abcdefg12", name="get_weather"),
        ],
        "tools": [WEATHER, CLOCK],
    },
    "answered and thanked": {
        "messages": [
            say("system", "S"),
            say("user", "Time?"),
            {"role": "assistant", "content": "I look.", "tool_calls": [called("Q1w2E3r4T", "clock", "{}")], "refusal": None},
            say("tool", "noon", tool_call_id="Q1w2E3r4T"),
            {"role": "assistant", "content": "Noon.", "tool_calls": None},
            say("user", "Thanks"),
        ],
        "tools": [CLOCK],
    },
    "no object as arguments": {
        "messages": [say("user", "Go"), {"role": "assistant", "content": "", "tool_calls": [called("123456789", "clock", "not JSON")]}, say("tool", "?", tool_call_id="123456789")],
        "tools": [CLOCK],
    },
    "answered without tools": {
        "messages": [say("user", "Time?"), {"role": "assistant", "content": None, "tool_calls": [called("Q1w2E3r4T", "clock", "{}")]}, say("tool", "noon", tool_call_id="Q1w2E3r4T")],
    },
}


# These walk over the parts of content.
PART_TEMPLATES = ["keyed-calls", "section-calls"]


def as_rendered(message, template):
    """What is handed to apply_chat_template for a message of the API."""
    message = {name: value for name, value in message.items() if value is not None or name == "content"}
    message.pop("refusal", None)
    if message["role"] == "developer":
        message["role"] = "system"
    if isinstance(message["content"], list) and template not in PART_TEMPLATES:
        message["content"] = "\n".join(part["text"] for part in message["content"])
    calls = []
    for call in message.get("tool_calls", []):
        function = call["function"]
        try:
            arguments = json.loads(function["arguments"])
        except ValueError:
            arguments = function["arguments"]
        calls.append({**call, "function": {**function, "arguments": arguments}})
    return {**message, "tool_calls": calls} if calls else message


def with_function_ids(messages):
    """Ids that name the function and the call's number, as Kimi wants them."""
    ids = {}
    for message in messages:
        for call in message.get("tool_calls", []):
            call["id"] = ids.setdefault(call["id"], f"functions.{call['function']['name']}:{len(ids)}")
        if "tool_call_id" in message:
            message["tool_call_id"] = ids[message["tool_call_id"]]


def tool_conversations():
    runs = []
    for name in TOOL_TEMPLATES:
        for title, sent in SENT.items():
            variables = {"add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", "tools": sent.get("tools"), "documents": None}
            messages = [as_rendered(message, name) for message in sent["messages"]]
            if name == "section-calls":
                with_function_ids(messages)
            runs.append({"template": name, "conversation": title, **render(TEMPLATES[name], {**variables, "messages": messages})})
    return {"conversations": SENT, "runs": runs}


# --- small cases -------------------------------------------------------------------------------------------------

VALUES = {
    "s": "Hello, Wörld",
    "t": "  padded\t\n",
    "n": 7,
    "f": 2.5,
    "yes": True,
    "nothing": None,
    "xs": [3, 1, 2],
    "words": ["b", "A", "c", "a"],
    "d": {"b": 1, "a": [1, {"k": None}], "items": "shadowed"},
    "people": [{"name": "Ann", "age": 30, "job": {"title": "nurse"}}, {"name": "Bob", "age": 25}, {"name": "cy", "age": 30, "job": None}],
    "odd": "quote ' and \" and \\ and \u0000\u007f\u00a0\u2028é\U0001f600",
    "big": {f"key{i}": i for i in range(20)},
    "nfc": "\u00e9",
    "nfd": "e\u0301",
}

CASES = r"""
{{ 1 + 2 * 3 - 4 }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 8 / 2 }}
{{ 2 ** 10 }} {{ 2 ** 3 ** 2 }} {{ 2 ** -1 }} {{ -2 ** 2 }} {{ 2.0 ** 3 }}
{{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1e3 }} {{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1.5e-7 }}
{{ 1e16 }} {{ 123456789012345680.0 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1e22 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }} {{ -0.0 }}
{{ 0.1 + 0.2 }} {{ 100.0 }} {{ 1e15 }} {{ 9007199254740993.0 }} {{ 12345.678 }}
{{ true and false }} {{ true or x }} {{ not true }} {{ none }} {{ True }} {{ None }} {{ False }}
{{ '' or 'else' }} {{ 'a' and 'b' }} {{ 0 or [] or {} or 'z' }} {{ nothing or 5 }} {{ [] and 1 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 == true }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (1,) < (1, 0) }}
{{ 'a' in 'cat' }} {{ 'x' not in 'cat' }} {{ 1 in xs }} {{ 9 in xs }} {{ 'a' in d }} {{ 'q' in d }} {{ '' in '' }}
{{ 'x' in missing }} {{ missing is defined }} {{ missing }} {{ missing | default('dflt') }} {{ missing ~ 'x' }}
{{ missing.attr }}
{{ missing['attr'] }}
{{ missing + 'x' }}
{{ missing() }}
{{ d.nope }}|{{ d['nope'] }}|{{ nothing.nope }}|{{ n.nope }}|{{ xs[10] }}|{{ s[99] }}
{{ d.nope.more }}
{{ d.b }} {{ d['a'][1]['k'] }} {{ d.a.0 }} {{ d['items'] }} {{ people[0].job.title }} {{ people[-1]['name'] }}
{{ s[0] }} {{ s[-1] }} {{ s[1:4] }} {{ s[::-1] }} {{ s[-5:] }} {{ s[:-5] }} {{ s[::3] }} {{ xs[1:] }} {{ xs[::-1] }} {{ xs[5:] }} {{ xs[-2:] }}
{{ s[8:2:-2] }} {{ xs[-100:100] }} {{ xs[none:2] }} {{ (1, 2, 3)[1:] }}
{{ s[1:4:0] }}
{{ 'a' 'b' "c" }} {{ 'tab\there' }} {{ 'nl\\n' }} {{ '\x41\u00e9\101' }} {{ 'it\'s' }} {{ "q\"q" }} {{ '\q' }}
{{ 'a' ~ 1 ~ none ~ true ~ 2.0 ~ xs ~ d }}
{{ 'ab' * 3 }} {{ [0] * 3 }} {{ 3 * 'x' }} {{ 'x' * -1 }} {{ [1] + [2] }} {{ (1,) + (2,) }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ [1] + (2,) }}
{{ 1 / 0 }}
{{ 5 % 0 }}
{{ 'a' < 1 }}
{{ xs }} {{ d }} {{ (1, 'a', none) }} {{ (1,) }} {{ () }} {{ [] }} {{ {} }} {{ {'a': 1, 2: 'b', none: true} }}
{{ [odd] }}
{{ odd }}
{{ ["it's"] }} {{ ['say "hi"'] }} {{ ['both \' and "'] }} {{ ['new\nline\ttab\\'] }}
{{ [1.0, 1e100, -0.5] }} {{ [true, none] }} {{ {'a': {'b': ['c']}} }}
{{ 'yes' if n > 5 else 'no' }} {{ 'only' if false }}| {{ ('a' if false else 'b') if true else 'c' }} {{ 1 if false else 2 if false else 3 }}
{{ s | upper }} {{ s | lower }} {{ s | title }} {{ s | capitalize }} {{ s | length }} {{ s | count }} {{ 'straße' | upper }} {{ 'ΑΣ ΟΔΟΣ' | lower }}
{{ t | trim }}| {{ t.strip() }}| {{ t.lstrip() }}| {{ t.rstrip() }}| {{ 'xxaxx'.strip('x') }} {{ 'abcba'.lstrip('ab') }} {{ 'xay' | trim('xy') }}
{{ s.split(', ') }} {{ s.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ ' a  b c '.split(none, 1) }} {{ ''.split() }} {{ ''.split(',') }}
{{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b  c '.rsplit(none, 1) }} {{ 'a\nb\r\nc'.splitlines() }} {{ 'a\n'.splitlines(true) }} {{ 'aXbXc'.partition('X') }} {{ 'aXbXc'.rpartition('X') }} {{ 'abc'.partition('X') }} {{ 'aaa'.rpartition('aa') }}
{{ s.split('') }}
{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ s | replace('l', '') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'ab'.replace('', '-') }} {{ 'ab'.replace('', '-', 2) }}
{{ s.startswith('He') }} {{ s.endswith('ld') }} {{ s.startswith(('x', 'H')) }} {{ 'abc'.endswith('') }} {{ s.find('W') }} {{ s.find('zz') }} {{ s.rfind('l') }} {{ s.count('l') }} {{ s.index('o') }} {{ 'aaa'.count('aa') }} {{ 'aaa'.rfind('aa') }}
{{ s.index('zz') }}
{{ s.upper() }} {{ s.lower() }} {{ "they're bill's".title() }} {{ "they're bill-s (x)" | title }} {{ 'ABC def'.capitalize() }} {{ 'a'.join(['x', 'y']) }}
{{ 'abc'.isalpha() }} {{ 'ab1'.isalnum() }} {{ '12'.isdigit() }} {{ ' '.isspace() }} {{ ''.isdigit() }} {{ 'ABC1'.isupper() }} {{ 'abC'.islower() }} {{ '½'.isnumeric() }} {{ '²'.isdigit() }}
{{ 'x=%s, y=%d, %%' % ('a', 3) }} {{ '%s' % n }} {{ '%r' % 'q' }} {{ '%s and %s' | format('a', 2) }}
{{ '%s %s' % ('a',) }}
{{ '{} {}'.format('a', 1) }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x}-{{}}'.format(x=3) }}
{{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} {{ 'ab'.ljust(4) }}| {{ 'ab'.rjust(4, '.') }} {{ 'unhappy'.removeprefix('un') }} {{ 'a.txt'.removesuffix('.txt') }}
{{ d | tojson }} {{ d | tojson(indent=2) }} {{ xs | tojson(separators=(',', ':')) }} {{ [] | tojson(indent=2) }} {{ {} | tojson }}
{{ odd | tojson }} {{ odd | tojson(ensure_ascii=true) }} {{ {'b': 1, 'a': {'d': 1, 'c': 2}} | tojson(sort_keys=true) }} {{ '<a href="x">&\'' | tojson }}
{{ 1.0 | tojson }} {{ 1e20 | tojson }} {{ true | tojson }} {{ none | tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ (1, 2) | tojson(indent=4) }} {{ [1, [2, {'a': []}]] | tojson(indent='\t') }}
{{ d | tojson(indent=2, separators=(' ,', ' : ')) }} {{ "/" | tojson }}
{{ missing | tojson }}
{{ xs | join(', ') }} {{ xs | join }} {{ 'abc' | join('-') }} {{ people | join('; ', attribute='name') }} {{ d | join(',') }}
{{ '' | default('e') }}| {{ '' | default('e', true) }} {{ none | default('e') }} {{ 0 | d('zero', boolean=true) }} {{ missing | d }}|
{{ xs | first }} {{ xs | last }} {{ [] | first }}| {{ [] | last }}| {{ 'abc' | first }} {{ 'abc' | last }} {{ d | list }} {{ 'abc' | list }} {{ range(3) | list }}
{{ 3 | string + 'x' }} {{ none | string }} {{ '12' | int + 1 }} {{ 'zz' | int }} {{ 'zz' | int(5) }} {{ '3.9' | int }} {{ 3.9 | int }} {{ -3.9 | int }} {{ '1f' | int(base=16) }} {{ true | int }} {{ ' 4 ' | int }}
{{ '2.5' | float }} {{ 'x' | float }} {{ 3 | float }} {{ 'x' | float(1.5) }} {{ '1e3' | float }} {{ 'inf' | float }} {{ '-nan' | float }}
{{ people | map(attribute='name') | list }} {{ people | map(attribute='job.grade', default='-') | list }} {{ words | map('upper') | join(',') }} {{ words | map('replace', 'a', 'z') | list }} {{ [[1, 2], [3, 4]] | map('first') | list }} {{ [[1, 2]] | map(attribute=1) | list }}
{{ xs | select('odd') | list }} {{ xs | reject('odd') | list }} {{ xs | select('gt', 1) | list }} {{ [0, 1, '', 'a'] | select | list }} {{ people | selectattr('age', 'equalto', 30) | map(attribute='name') | list }} {{ people | rejectattr('job') | map(attribute='name') | list }} {{ people | selectattr('job', 'defined') | list | length }} {{ people | selectattr('age', '>', 26) | list | length }}
{{ xs | sort }} {{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ xs | sort(reverse=true) }} {{ people | sort(attribute='age') | map(attribute='name') | list }} {{ people | sort(attribute='age', reverse=true) | map(attribute='name') | list }} {{ xs | reverse | list }} {{ 'abc' | reverse }}
{{ words | unique | list }} {{ [1, 1.0, 2, true] | unique | list }} {{ xs | sum }} {{ people | sum(attribute='age') }} {{ xs | min }} {{ xs | max }} {{ words | max }} {{ [] | min }}| {{ people | max(attribute='age') }}
{{ d | items | list }} {{ d | dictsort }} {{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} {{ {'b': 1, 'a': 2} | dictsort(reverse=true) }} {{ missing | items | list }}
{{ -5 | abs }} {{ (-5) | abs }} {{ -2.5 | abs }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 1.005 | round(2) }} {{ 2.1 | round(0, 'ceil') }} {{ 2.19 | round(1, 'floor') }} {{ 7 | round }} {{ 0.5 | round }} {{ 1.25 | round(1) }} {{ 1234.5678 | round(3) }}
{{ '<b>"x" & \'y\'</b>' | e }} {{ '<b>' | escape }} {{ '<b>' | safe }}
{{ 'a\nb\n\nc' | indent }}| {{ 'a\nb' | indent(2, true) }} {{ 'a\n\nb' | indent(2, blank=true) }} {{ 'a\nb' | indent('> ') }}
{{ n is odd }} {{ n is even }} {{ n is divisibleby 7 }} {{ n is divisibleby(2) }} {{ n is number }} {{ f is float }} {{ n is integer }} {{ true is integer }} {{ true is number }} {{ true is boolean }} {{ yes is true }} {{ 1 is true }} {{ false is false }}
{{ s is string }} {{ n is string }} {{ d is mapping }} {{ xs is mapping }} {{ s is iterable }} {{ n is iterable }} {{ xs is sequence }} {{ d is sequence }} {{ missing is sequence }} {{ missing is iterable }} {{ nothing is none }} {{ nothing is not none }} {{ missing is undefined }} {{ missing is none }}
{{ n is eq 7 }} {{ n is equalto(7) }} {{ n is ne 7 }} {{ n is gt 3 }} {{ n is lt 3 }} {{ n is ge 7 }} {{ 1 is in xs }} {{ 5 is not in xs }} {{ 'abc' is lower }} {{ 'ABC' is upper }} {{ range is callable }} {{ n is sameas 7 }}
{{ not n is odd }} {{ not (n is odd) and true }} {{ n is odd and s is string }} {{ n is odd or missing.x }} {{ 'a' if n is defined else 'b' }}
{{ d.get('b') }} {{ d.get('zz') }} {{ d.get('zz', 'dflt') }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.items() | list }} {{ d.items() | length }}
{{ xs.append(4) }}
{{ d.update({'x': 1}) }}
{{ d.pop('b') }}
{{ xs.index(1) }} {{ xs.count(3) }} {{ (1, 2, 1).count(1) }}
{{ range(5) | list }} {{ range(2, 5) | list }} {{ range(10, 0, -3) | list }} {{ range(0) | list }} {{ range(5)[2] }} {{ 3 in range(5) }} {{ range(3) | length }}
{{ range(1000000) }}
{{ dict(a=1, b='x') }} {{ dict([('a', 1)]) }} {{ dict({'a': 1}, b=2) }}
{{ nfc == nfd }} {{ nfc in nfd }} {{ nfd | length }} {{ {nfc: 1, nfd: 2} }} {{ big.key15 }} {{ big['key19'] }} {{ big.nope is defined }}
{{ xs == [3, 1, 2] }} {{ (1, 2) == [1, 2] }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1.0} }} {{ 'a' == 1 }} {{ none == false }} {{ missing == gone }} {{ 1 != 2 }}
{{ 1, 2 }} {{ (1) }} {{ [1, 2,] }} {{ {'a': 1,} }} {{ ((1, 2), 3)[0][1] }}
{{ -n }} {{ +n }} {{ - -n }} {{ -n | abs }} {{ -f }} {{ not not n }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %j %A %a %B %b %p %I %y %%') }} {{ strftime_now("%-d %B") }}
{{ raise_exception('stop here') }}
{{ raise_exception('no ' + s) }}
{{ "a" | nofilter }}
{{ "a" is notest }}
{% for x in xs %}{{ loop.index }}:{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for x in xs %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}
{% for x in xs %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}
{% for x in [] %}a{% else %}empty{% endfor %} {% for x in missing %}a{% else %}none{% endfor %} {% for x in xs %}{% else %}never{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for c in 'añb' %}{{ c }}.{% endfor %}
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}
{% for x in n %}{% endfor %}
{% for x in none %}{% endfor %}
{% for x in xs if x > 1 %}{{ loop.index }}/{{ loop.length }}={{ x }} {% endfor %} {% for x in xs if x > 9 %}{% else %}no{% endfor %}
{% for x in xs %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %} {% for x in xs %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in xs %}{% for y in xs %}{{ loop.index }}{% if y == 1 %}{% break %}{% endif %}{% endfor %}|{{ loop.index }} {% endfor %}
{% for x in xs %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{{ loop.depth }} {% endfor %}
{% for x in [1, [2, [3]]] recursive %}{% if x is number %}{{ x }}@{{ loop.depth }}{% else %}({{ loop(x) }}){% endif %}{% endfor %}
{% set ns = namespace(found=false) %}{% for x in xs if not ns.found %}{{ x }}{% if x == 1 %}{% set ns.found = true %}{% endif %}{% endfor %}
{% set a = 1 %}{% for x in xs %}{{ a }}{% set a = a + 1 %}{{ a }} {% endfor %}{{ a }}
{% for x in xs %}{% if loop.first %}{% set q = 'set' %}{% endif %}[{{ q }}]{% endfor %}{{ q }}
{% if true %}{% set z = 5 %}{% endif %}{{ z }} {% set a, b = 1, 2 %}{{ a }}{{ b }} {% set (a, b) = [b, a] %}{{ a }}{{ b }} {% set t = 1, %}{{ t }}
{% set ns = namespace(x=1, y='a') %}{% set ns.x = ns.x + 1 %}{{ ns.x }}{{ ns.y }}{{ ns.z }} {% set ns.list = [1] %}{% set ns.list = ns.list + [2] %}{{ ns.list }} {{ ns['x'] }}
{% set foo.bar = 1 %}
{% set s.bar = 1 %}
{% set block %}Hi {{ n }}{% set inner = 1 %}{% endset %}[{{ block }}]{{ inner }} {% set up | upper %}shout{% endset %}{{ up }} {{ block | length }}
{% if n > 10 %}a{% elif n > 5 %}b{% else %}c{% endif %} {% if missing %}x{% endif %} {% if not missing %}y{% endif %} {% if xs and d %}z{% endif %}
{% macro m(a, b=2, c='x') %}({{ a }},{{ b }},{{ c }}){% endmacro %}{{ m(1) }} {{ m(1, c=3) }} {{ m(b=5, a=4) }} {{ m() }} {{ m(1) | upper }} {{ m.name }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, zz=2) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }} {% macro o(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ o(1) }}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}
{% set g = 'outer' %}{% macro m() %}{{ g }}{% set g = 'inner' %}{{ g }}{% endmacro %}{{ m() }}{{ g }} {% set g = 'later' %}{{ m() }}
{% macro a(x) %}[{{ x }}]{% endmacro %}{% macro b(x) %}{{ a(a(x)) }}{% endmacro %}{{ b(1) }} {{ a(*[7]) }} {{ a(**{'x': 8}) }}
{% with a = 1, b = 2 %}{{ a + b }}{% set c = 3 %}{% endwith %}{{ c }}{{ a }} {% filter upper | replace('B', 'x') %}abc {{ n }}{% endfilter %}
{% generation %}kept{% set gg = 1 %}{% endgeneration %}{{ gg }}
a {# comment {{ x }} #} b {#- trimmed -#} c
{% raw %}{{ x }} {% if %}{% endraw %} {%- raw -%} y {%- endraw %} z
{{ '{{' }} {{ '}}' }} {{ {'a': {'b': 1}}['a']['b'] }} {{ "%}" }}
{% import 'x' as y %}
{% include 'x' %}
{% extends 'x' %}
{% call m() %}{% endcall %}
{% if %}{% endif %}
{% if true %}
{% for x in %}{% endfor %}
{{ 1 + }}
{{ 'open }}
{{ (1 }}
{% endfor %}
{{ a b }}
{{ 1 if }}
{% break %}
{% set true = 1 %}
"""

# Cases of several lines, where white space is the point.
BLOCKS = [
    # calls of macros with a body
    "{% macro box(title) %}[{{ title }}: {{ caller() }}]{% endmacro %}{% call box('t') %}in {{ n }}{% endcall %}",
    "{% macro each(xs) %}{% for x in xs %}{{ caller(x, loop.index) }};{% endfor %}{% endmacro %}{% call(item, at=0) each(xs) %}{{ at }}={{ item }}{% endcall %}",
    "{% macro m() %}{{ caller() if caller else 'none' }}{% endmacro %}{{ m() }} {% call m() %}some{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}",
    "{% macro m(caller=none) %}{{ caller is none }}{% endmacro %}{{ m() }} {% call m() %}y{% endcall %}",
    "{% macro outer() %}<{{ caller() }}>{% endmacro %}{% macro inner() %}({{ caller() }}){% endmacro %}{% call outer() %}a{% call inner() %}b{% endcall %}{% endcall %}",
    "{% macro m() %}{% set ns = namespace(f=caller()) %}{{ ns.f ~ '!' }}{% endmacro %}{% set k = 1 %}{% call m() %}{% set k = 2 %}{{ k }}{% endcall %}{{ k }}",
    "{% macro m() %}{{ caller(1, 2, z=3) }}{% endmacro %}{% call(a) m() %}{{ a }}{{ varargs }}{{ kwargs }}{% endcall %}",
    "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a) m() %}{{ a }}{% endcall %}",
    "{% call 3 %}{% endcall %}",
    # filters and tests that are not known matter only where they run
    "{% if n > 100 %}{{ n | no_such }}{% endif %}fine",
    "{% if n > 1 %}{{ n | no_such }}{% endif %}",
    "{% if n > 100 %}{{ n is no_such }}{% else %}fine{% endif %}",
    "{{ n | no_such }}",
    "{{ 1 if true else (n | no_such) }}",
    "{% include 'other' %}",
    "{% from 'other' import x %}",
    # values in turn
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}",
    "{% set j = joiner('; ') %}{% for x in xs %}{{ j() }}{{ x }}{% endfor %}{% set k = joiner() %}{{ k() }}{{ k() }}",
    # lists of lists
    "{% for row in [1, 2, 3, 4, 5] | batch(2) %}{{ row }}{% endfor %} {{ [1, 2, 3] | batch(2, '-') | list }}",
    "{{ [1, 2, 3, 4, 5] | slice(3) | list }} {{ [1, 2, 3, 4, 5] | slice(3, 'x') | list }} {{ [] | slice(2) | list }}",
    "{% for age, group in people | groupby('age') %}{{ age }}:{{ group | map(attribute='name') | join('+') }} {% endfor %}",
    "{% for g in words | groupby(0) %}{{ g.grouper }}{{ g.list }}{% endfor %} {{ people | groupby('city', default='none') | map('first') | list }} {{ words | groupby(0, case_sensitive=true) | list }}",
    # texts
    "{{ 'a b c' | wordcount }} {{ '' | wordcount }} {{ 'x-y_z 3.4' | wordcount }}",
    "{{ 'foo bar baz qux' | truncate(9) }}|{{ 'foo bar baz qux' | truncate(9, True) }}|{{ 'foo bar baz qux' | truncate(11) }}|{{ 'foo bar baz qux' | truncate(11, False, '...', 0) }}|{{ 'foobarbazqux' | truncate(6, end='!') }}",
    "[{{ 'ab' | center(7) }}] [{{ 'abc' | center(8) }}] [{{ 'abc' | center(2) }}]",
    "{{ 'a b/ü&' | urlencode }} {{ {'k y': 'v/1', 'b': 2} | urlencode }}",
    "{{ d | attr('b') }}{{ s | attr('upper') is callable }} {{ ('<a>' | forceescape) }}",
    "{{ '<' | safe + '<' + s }} {{ '<' ~ '<' | safe }} {{ ('a' | escape) + '\"' }} {{ '<' + '<' }}",
    "{{ nothing | map('upper') | list }}{{ nothing | selectattr('x') | list }}{{ 0 | reject | list }}",
    "{{ 'x' is escaped }}",
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%- if true %}\n  b\n  {%- endif %}\nc\n\n",
    "a  {% if true -%}  \n\n  b  {%- endif -%}  \n c",
    "  {{ n }}  \n  {{- n -}}  \n  {{ n }}\n",
    "x {%+ if true %} y {% endif +%}\n z\n",
    "   {%+ if true %}\n   y\n   {%+ endif %}\n",
    "{# one #}\n  {# two #}\nthree {# four #}\n  {#- five #}\nsix\n   {#+ seven #}\n",
    "line\r\n{% if true %}\r\nyes\r\n{% endif %}\r\nend\rlast\r\n",
    "\n\n{% if true %}\n\nx\n\n{% endif %}\n\n",
    "{% for x in xs %}\n  - {{ x }}\n{% endfor %}\n",
    "{% for x in xs -%}\n  - {{ x }}\n{% endfor -%}\n  done",
    "{% raw %}\n  {{ kept }}\n  {% endraw %}\nafter\n",
    "{% set x = 1\n%}\n{{\n x\n}}\n",
    "\u00a0{%- if true %}\u00a0a{% endif -%}\u00a0b",
    "\t{% if true %}\ta\t{% endif %}\tb",
    "{% if true %}{% endif %}  {% if true %}x{% endif %}",
    "{{ n }}\n{% if true %}  {% if true %}\nq{% endif %}{% endif %}",
    "{%if true%}tight{%endif%}{{n}}{{-n-}}",
    "{{ n -}}   \n  text {{- ' x' }}\n\n",
    "{#-#}a{#--#} b {#+#} c",
    "a{{ '\n' }}b{{ 'x\r\ny' }}",
    "one\n",
    "one\n\n",
    "",
    "\n",
]


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, template in TEMPLATES.items():
        runs = []
        for title, conversation in CONVERSATIONS.items():
            variables = {
                "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None,
                **conversation,
            }
            # Jinja reads variables as Python; what JSON carries is the same.
            runs.append({"title": title, "variables": variables, **render(template, variables)})
        text = json.dumps({"name": name, "template": template, "runs": runs}, indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n")
    cases = [{"template": t, **render(t, VALUES)} for t in CASES.strip().split("\n") + BLOCKS]
    text = json.dumps({"variables": VALUES, "cases": cases}, indent=1, ensure_ascii=False)
    (FOLDER / "cases.json").write_text(text + "\n")
    text = json.dumps(tool_conversations(), indent=1, ensure_ascii=False)
    (FOLDER / "tool-conversations.json").write_text(text + "\n")
    failed = sum("error" in case for case in cases)
    print(f"{len(TEMPLATES)} templates x {len(CONVERSATIONS)} conversations, {len(cases)} cases of which {failed} fail")


if __name__ == "__main__":
    main()
