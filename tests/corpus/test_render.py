"""Roles, places and the BOS of rendered rows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TEMPLATE

from crossdiff.corpus.render import RowError, one_bos, plain, render, tokenise
from crossdiff.corpus.roles import Role
from crossdiff.errors import UserError

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is user?"},
    {"role": "assistant", "content": "  A user is a user.\n"},
    {"role": "user", "content": "user"},
]


def text_of(tokenizer, row, role):
    return tokenizer.decode([token for token, r in zip(row.ids, row.roles, strict=True) if r == role])


def test_roles_follow_contents_and_not_equal_words_of_the_template(tokenizer):
    row = render(tokenizer, CHAT, add_generation_prompt=True)
    assert text_of(tokenizer, row, Role.USER) == "Be brief.What is user?user"
    assert text_of(tokenizer, row, Role.ASSISTANT) == "A user is a user."  # the template strips contents
    assert text_of(tokenizer, row, Role.TEMPLATE) == (
        "<turn>system\n<end>\n<turn>user\n<end>\n<turn>assistant\n<end>\n<turn>user\n<end>\n<turn>assistant\n"
    )
    assert text_of(tokenizer, row, Role.BOS) == "<bos>"
    assert row.roles[0] == Role.BOS


def test_ids_are_the_rendered_string_tokenised_once(tokenizer):
    string = tokenizer.apply_chat_template(CHAT, tokenize=False)
    assert render(tokenizer, CHAT).ids == tokenizer(string, add_special_tokens=False)["input_ids"]


def test_places_point_into_the_message_as_given(tokenizer):
    row = render(tokenizer, CHAT)
    content = CHAT[2]["content"]
    start = content.index("is a")
    found = row.tokens(2, start, start + 4)
    assert tokenizer.decode([row.ids[t] for t in found]).strip() == "is a"
    assert all(row.roles[t] == Role.ASSISTANT for t in found)
    assert row.tokens(2, 0, 2) == []  # stripped by the template


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=4))
def test_every_content_is_found_whatever_it_is(tokenizer, contents):
    contents = [content.replace("<", "(") for content in contents]  # no special tokens
    messages = [{"role": ("user", "assistant")[n % 2], "content": content} for n, content in enumerate(contents)]
    row = render(tokenizer, messages)
    for number, content in enumerate(contents):
        ids = [token for token, place in zip(row.ids, row.places, strict=True) if place.message == number]
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == content.strip()


def test_text(tokenizer):
    row = tokenise(tokenizer, [plain("The quick brown fox")])[0]
    assert tokenizer.decode(row.ids) == "<bos>The quick brown fox"
    assert row.roles == [Role.BOS] + [Role.TEXT] * (len(row.ids) - 1)


@pytest.mark.parametrize(
    ("template", "what"), [("", "missing"), ("{{ bos_token }}", "there"), ("{{ bos_token * 2 }}", "double")]
)
def test_exactly_one_bos(tokenizer, template, what):
    tokenizer = with_template(tokenizer, template + TEMPLATE.removeprefix("{{ bos_token }}"))
    row = render(tokenizer, CHAT[1:2])
    assert row.ids.count(tokenizer.bos_token_id) == 1, what
    assert row.ids[0] == tokenizer.bos_token_id
    assert row.roles.count(Role.BOS) == 1
    assert len(row.ids) == len(row.roles) == len(row.places)


def test_no_bos_where_the_tokenizer_has_none(tokenizer):
    row = tokenise(tokenizer, [plain("fox")])[0]
    bare = one_bos(row.cut(3), None)
    assert bare == row.cut(3)


def test_a_template_that_opens_every_turn_with_the_bos(tokenizer):
    template = "{% for m in messages %}<bos>{{ m['role'] }}\n{{ m['content'] }}<end>\n{% endfor %}"
    row = render(with_template(tokenizer, template), CHAT[1:3])
    assert row.ids.count(tokenizer.bos_token_id) == 2  # the second is the template's own mark of a turn
    assert [row.roles[n] for n, token in enumerate(row.ids) if token == 0] == [Role.BOS, Role.TEMPLATE]


def test_rows_do_not_depend_on_the_day(tokenizer):
    template = "{{ date_string if date_string is defined else strftime_now('%d %b %Y') }}" + TEMPLATE
    row = render(with_template(tokenizer, template), CHAT[1:2])
    assert "26 Jul 2024" in tokenizer.decode(row.ids)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('System role not supported') }}", "refuses the conversation: System role not supported"),
        ("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}", "changes the text of message 0"),
        ("{{ messages[0]['content'] }}", "leaves out message 1"),
    ],
)
def test_templates_that_cannot_be_followed(tokenizer, template, message):
    with pytest.raises(RowError, match=message):
        render(with_template(tokenizer, template), CHAT)


def test_a_missing_template_names_the_key(tokenizer):
    with pytest.raises(UserError, match=r"pair\.chat\.chat_template"):
        render(with_template(tokenizer, None), CHAT)


def with_template(tokenizer, template):
    copy = tokenizer.__class__(tokenizer_object=tokenizer.backend_tokenizer, bos_token="<bos>", eos_token="<eos>")
    copy.chat_template = template
    return copy
