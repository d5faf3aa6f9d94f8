#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fixtures/chat/cases.json: chat templates, conversations and what transformers renders of them.

The templates are written for this test; each uses the constructs of a family of models (named by its key), not its text.
With --check FOLDER… also the templates of tokenizer_config.json files are rendered, by `tenpak`'s test program
(build/…/tenpak_test_model --gtest_filter=ChatTemplates.* with TENPAK_CHAT_CASES set to the file this writes with --out).
"""
import argparse
import json
import pathlib

from transformers.utils import chat_template_utils

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATES = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + (message['content'] or '') + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    "llama2": """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant!') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}""",
    "llama3.1": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{% set date_string = strftime_now("%d %b %Y") %}{%- else %}{% set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{#- The system message, if any. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
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
""",
    "mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
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
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
            {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {{- ', "id": "' + tool_call.id + '"}' }}
        {%- endfor %}
        {{- "]" + eos_token }}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported") }}
    {%- endif %}
{%- endfor %}
""",
    "gemma2": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
    "phi3": "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + (message['content'] or '') + '<|end|>\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "qwen3": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
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
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "smollm3": """{# ───── defaults ───── #}
{%- if enable_thinking is not defined -%}{%- set enable_thinking = true -%}{%- endif -%}
{%- macro header(role, extra='') -%}<|im_start|>{{ role }}{{ extra }}
{% endmacro -%}
{%- if enable_thinking -%}{%- set reasoning_mode = "/think" -%}{%- else -%}{%- set reasoning_mode = "/no_think" -%}{%- endif -%}
{{- header('system') }}
{%- if messages[0].role == "system" -%}
  {%- set system_message = messages[0].content -%}
  {%- if "/no_think" in system_message -%}{%- set reasoning_mode = "/no_think" -%}{%- endif -%}
  {%- set custom_instructions = system_message.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}
{%- set today = strftime_now("%d-%B-%Y") -%}
{{- "## Metadata\\n\\nToday Date: " ~ today ~ "\\nReasoning Mode: " + reasoning_mode + "\\n\\n" -}}
{%- if custom_instructions -%}{{ custom_instructions + "\\n\\n" }}{%- else -%}
{{ "You are a helpful assistant.\\n\\n" }}
{%- endif -%}
{%- set ns = namespace(xml_tool_string="") -%}
{%- for tool in tools or [] -%}
  {%- set ns.xml_tool_string = ns.xml_tool_string ~ (tool | string) ~ "\\n" -%}
{%- endfor -%}
{{- ns.xml_tool_string -}}
{%- for message in messages -%}
    {%- set content = message.content if message.content is string else "" -%}
    {%- if message.role == "user" -%}
        {{ header(message.role) ~ content ~ "<|im_end|>\\n" }}
    {%- elif message.role == "assistant" -%}
        {% generation %}{{ header("assistant") + content.lstrip("\\n") + "<|im_end|>\\n" }}{% endgeneration %}
    {%- elif message.role == "tool" -%}
    {{ header("user", extra=" (tool)") + content + "<|im_end|>\\n" }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ header("assistant") ~ ("" if reasoning_mode == "/think" else "<think>\\n\\n</think>\\n") }}{%- endif -%}
""",
    "everything": """{% set data = {'b': [3, 1, 2], 'a': {'x': 1.5, 'y': none}, 'name': 'Éa\\'b'} %}
  {%+ if true %}kept{% endif %}
{{ data | tojson }} {{ data }} {{ data.b | sort | join(', ') }} {{ data['b'] | map('string') | join('-') }} {{ [1, 2.0, 'a', True, None, (1,), {}] }}
{%- for k, v in data | dictsort %} {{ loop.index }}/{{ loop.revindex }}:{{ k }}={{ v }}{% if not loop.last %};{% endif %}{% else %}none{% endfor %}
{% for x in [] %}{% else %}empty{% endfor %}
{% for x in range(10) if x is odd %}{% if x == 7 %}{% break %}{% endif %}{% if x == 3 %}{% continue %}{% endif %}{{ x }}{{ loop.cycle('a', 'b') }}{% endfor %}
{{ 'Hello World'.upper() ~ ' straße'.upper() }} {{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'abcdef'[1:-1] }} {{ 'abcdef'[::-2] }} {{ 'x' * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1 + 2 * 3 - 4 }}
{{ undefined_name | default('fallback') }} {{ '' | default('x', true) }} {{ missing is defined }} {{ none is none }} {{ 3 is divisibleby 3 }} {{ 'a' in 'abc' }} {{ 'z' not in ['a'] }} {{ 1 < 2 <= 2 }} {{ not true or false }}
{{ '%s' | length }} {{ 'title case here' | title }} {{ 'cAPS' | capitalize }} {{ [1, 2, 3] | sum }} {{ [3, 1] | min }} {{ [3, 1] | max }} {{ [1, 2] | first }} {{ [1, 2] | last }} {{ [1, 1, 2] | unique | list }} {{ [1, 2, 3] | reverse | list }}
{{ messages | map(attribute='role') | join(' ') }} {{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list | length }} {{ messages | rejectattr('role', 'eq', 'user') | list | count }} {{ [1, 0, 2] | select | list }} {{ [1, 2, 3] | select('>', 1) | list }} {{ [1, 2] | reject('eq', 1) | list }}
{% set block %}  inside {{ 1 }}
{% endset %}[{{ block }}] {{ block | trim }} {% filter upper %}filtered{% endfilter %}
{% macro m(a, b=2) %}<{{ a }},{{ b }}>{% endmacro %}{{ m(1) }}{{ m(1, b=3) }}{{ m(b='x', a='y') }} {% raw %}{{ raw }}{% endraw %}
{{ {'z': 1, 'a': [1, {'k': 'v'}]} | tojson(indent=2) }} {{ {'z': 1, 'a': 2} | tojson(sort_keys=true) }} {{ 'é"\\n' | tojson }} {{ {'a': 1}.get('b', 5) }} {{ {'a': 1}.items() | list }} {{ 'line1\nline2' | indent(2) }} {{ 12.0 }} {{ 1e20 }} {{ 0.00001 }} {{ '5' | int + 1 }} {{ 'x' | int }} {{ 2.5 | round }} {{ 2.345 | round(2) }}
{% set ns = namespace(x=1) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }} {{ 'a' if false }}|{{ 'a' if false else 'b' }} {{ loop is defined }} {{ ('a', 'b')[1] }} {{ messages[0].content[:3] | e }} {{ "a\\tb" }} {{ 'ab' 'cd' }} {{ 'x'.startswith(('y', 'x')) }} {{ 'banana'.replace('a', 'o', 2) }} {{ 'a.b'.rsplit('.', 1) }} {{ [[1, 2], [3]] | sum(start=[]) if false else 'n' }}
""",
}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Weather of a \"place\"", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}}}]
CALL = {"role": "assistant", "content": "", "tool_calls": [{"id": "abc123def", "type": "function", "function": {"name": "weather", "arguments": {"place": "Zürich", "n": 1.0}}}]}
CONVERSATIONS = [
    {"messages": [{"role": "user", "content": "Hi"}]},
    {"messages": [{"role": "system", "content": "Be brief. /no_think\n"}, {"role": "user", "content": " Hello <there> \n"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi!"}, {"role": "user", "content": "Wie heißt „du“? 你好 🦙"}]},
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "assistant", "content": "c"}]},
    {"messages": [{"role": "user", "content": "Weather?"}, CALL, {"role": "tool", "content": "{\"t\": 21}", "tool_call_id": "abc123def"}], "tools": TOOLS},
    {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}], "tools": TOOLS, "enable_thinking": False, "date_string": "1 Jan 2025"},
]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "tests/fixtures/chat/cases.json")
    p.add_argument("--check", type=pathlib.Path, nargs="*", default=[])
    a = p.parse_args()
    templates = dict(TEMPLATES)
    for folder in a.check:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        if "chat_template" in config:
            templates[folder.name] = config["chat_template"]
    # One moment for all: 2025-03-04 05:06:07 UTC
    import datetime
    moment = datetime.datetime(2025, 3, 4, 5, 6, 7)
    cases = []
    for name, template in templates.items():
        compiled = chat_template_utils._compile_jinja_template(template)
        compiled.environment.globals["strftime_now"] = lambda f: moment.strftime(f)
        compiled = compiled.environment.from_string(template)
        for c in CONVERSATIONS:
            for prompt in (True, False):
                variables = {"messages": c["messages"], "tools": c.get("tools"), "documents": None, "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>",
                             **{k: v for k, v in c.items() if k not in ("messages", "tools")}}
                try:
                    want = compiled.render(**variables)
                    error = None
                except Exception as e:  # noqa: BLE001
                    want, error = None, "%s: %s" % (type(e).__name__, e)
                cases.append({"name": name, "variables": variables, "want": want, "error": error})
    a.out.write_text(json.dumps({"now": 1741064767, "templates": templates, "cases": cases}, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(len(cases), "cases,", sum(c["error"] is not None for c in cases), "refused")
    print({c["error"] for c in cases if c["error"]})


main()
