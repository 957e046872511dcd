"""What OpenAI's official Python client raises when BASE_URL, which ends in /v1, refuses: one line a step.

Further environment: API_KEY, a good key; CHAT_MODEL, which it may use, once, and is then refused by a limit for;
FORBIDDEN_MODEL, which it may not use.
Ends with 1 and says why at the first thing that is not as it should be.
"""

import os
import sys

import openai

CHAT_MODEL = os.environ["CHAT_MODEL"]
FORBIDDEN_MODEL = os.environ["FORBIDDEN_MODEL"]


def raised(api_key, model):
    client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key=api_key, max_retries=0, timeout=30)
    try:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=2)
    except openai.OpenAIError as error:
        return error
    return None


def wrong_key():
    error = raised("any_key", CHAT_MODEL)
    assert isinstance(error, openai.AuthenticationError), repr(error)
    assert (error.code, error.type) == ("invalid_api_key", "authentication_error"), error.body


def forbidden_model():
    error = raised(os.environ["API_KEY"], FORBIDDEN_MODEL)
    assert isinstance(error, openai.PermissionDeniedError), repr(error)
    assert (error.code, error.type, error.param) == ("model_not_allowed", "permission_error", "model"), error.body


def limit():
    assert raised(os.environ["API_KEY"], CHAT_MODEL) is None, "the first request was refused"
    error = raised(os.environ["API_KEY"], CHAT_MODEL)
    assert isinstance(error, openai.RateLimitError), repr(error)
    assert error.code == "rate_limit_exceeded", error.body
    assert int(error.response.headers["retry-after"]) > 0, error.response.headers


def main():
    for step in (wrong_key, forbidden_model, limit):
        try:
            step()
        except AssertionError as error:
            sys.exit(f"{step.__name__}: {error}")
        print(f"{step.__name__} ok")


if __name__ == "__main__":
    main()
