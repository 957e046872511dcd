"""OpenAI's official Python client against BASE_URL, which ends in /v1: everything that a new user tries first.

Further environment: CHAT_MODEL, EMBEDDING_MODEL, and NOT_FOUND_CODE, the code that an unknown model must raise.
Prints a line for each thing that worked; ends with 1 and says why at the first that did not.
"""

import os
import sys

import openai

CHAT_MODEL = os.environ.get("CHAT_MODEL", "meta-llama/Llama-3.1-8B-Instruct")
EMBEDDING_MODEL = os.environ.get("EMBEDDING_MODEL", "BAAI/bge-m3")
NOT_FOUND_CODE = os.environ.get("NOT_FOUND_CODE", "model_not_found")
MESSAGES = [{"role": "user", "content": "What lies beyond the harbour?"}]


def chat(client):
    answer = client.chat.completions.create(model=CHAT_MODEL, messages=MESSAGES, max_tokens=12)
    assert answer.choices[0].message.content, "the answer is empty"
    assert answer.choices[0].finish_reason == "length", answer.choices[0].finish_reason
    assert answer.usage.completion_tokens == 12, answer.usage


def streamed_chat(client):
    whole = client.chat.completions.create(model=CHAT_MODEL, messages=MESSAGES, max_tokens=24)
    text, finish, usage = "", None, None
    stream = client.chat.completions.create(
        model=CHAT_MODEL, messages=MESSAGES, max_tokens=24, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert finish == "length", f"the stream ended early: finish_reason {finish}"
    assert usage and usage.completion_tokens == 24, usage
    assert len(text.split()) == len(whole.choices[0].message.content.split()), text


def streamed_to_done(client):
    """The client hides the end mark, so this reads the bytes beneath it."""
    with client.chat.completions.with_streaming_response.create(
        model=CHAT_MODEL, messages=MESSAGES, max_tokens=6, stream=True
    ) as response:
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]", lines[-1:]


def embeddings(client):
    answer = client.embeddings.create(model=EMBEDDING_MODEL, input=["north", "south"])
    assert [item.index for item in answer.data] == [0, 1]
    assert all(len(item.embedding) == len(answer.data[0].embedding) > 0 for item in answer.data)
    assert answer.data[0].embedding != answer.data[1].embedding


def models(client):
    listed = {model.id for model in client.models.list()}
    missing = {CHAT_MODEL, EMBEDDING_MODEL} - listed
    assert not missing, f"{missing} not among {listed}"


def unknown_model(client):
    try:
        client.chat.completions.create(model="no-such-model", messages=MESSAGES)
    except openai.NotFoundError as error:
        assert str(error.code) == NOT_FOUND_CODE, f"code {error.code}"
    else:
        raise AssertionError("an unknown model was answered")


def main():
    client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key="any_key", max_retries=0, timeout=30)
    for step in (chat, streamed_chat, streamed_to_done, embeddings, models, unknown_model):
        try:
            step(client)
        except (AssertionError, openai.OpenAIError) as error:
            sys.exit(f"{step.__name__}: {type(error).__name__}: {error}")
        print(f"{step.__name__} ok")


if __name__ == "__main__":
    main()
