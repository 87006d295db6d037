"""A model's reasoning is removed from its answer, in the form of every family, closed or not."""

from __future__ import annotations

import pytest

from rules.reasoning import remove_reasoning

#: Complete reasoning, in each family's form, before the answer "Hi Ada".
CLOSED = [
    "<think>She likes tea.</think>Hi Ada", "<think>\nA\n\nB\n</think>\n\nHi Ada", "<THINK>x</Think> Hi Ada",
    '<thinking budget="low">x</thinking>Hi Ada', "< think >x< / think >Hi Ada", "<reasoning>x</reasoning>\nHi Ada",
    "<seed:think>x</seed:think>Hi Ada", "<mm:think>x</mm:think>Hi Ada", "<longcat_think>x</longcat_think>Hi Ada",
    "<scratchpad>x</scratchpad>Hi Ada", "<inner_monologue>x</inner_monologue>Hi Ada",
    "&lt;think&gt;x&lt;/think&gt;Hi Ada", "[THINK]x[/THINK]Hi Ada", "◁think▷x◁/think▷Hi Ada",
    "<|START_THINKING|>x<|END_THINKING|><|START_RESPONSE|>Hi Ada<|END_RESPONSE|>",
    "<|begin_of_thought|>x<|end_of_thought|><|begin_of_solution|>Hi Ada<|end_of_solution|>",
    "<|channel>thought\nx<channel|>Hi Ada", "<unused94>thought\nx<unused95>Hi Ada",
    "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>Hi Ada<|return|>",
    "<|channel|>commentary to=f<|message|>{}<|call|><|channel|>final <|constrain|>json<|message|>Hi Ada",
    "analysisWe greet her.assistantfinalHi Ada",
]  # fmt: skip


@pytest.mark.parametrize("text", CLOSED)
def test_reasoning_of_every_form_is_removed(text: str) -> None:
    assert remove_reasoning(text) == "Hi Ada"


@pytest.mark.parametrize(
    "text",
    [
        "She likes tea.</think>Hi Ada", "<think>a<think>b</think>c</think>Hi Ada", "<think>x</thinking>Hi Ada",
        "<think>a</think><think>b</think>Hi Ada", "Hi Ada<think>Was that polite?", "<think/>Hi Ada",
        "<think></think>Hi Ada", "Hi <reflection>good</reflection>Ada", "Hi Ada<|im_end|>", "Hi Ada</s>",
        "<think>I may use <think> tags.</think>Hi Ada",
    ],
)  # fmt: skip
def test_reasoning_that_is_unclosed_unopened_or_nested_is_removed(text: str) -> None:
    assert remove_reasoning(text) == "Hi Ada"


@pytest.mark.parametrize(
    "text", ["<think>She likes", "[THINK]x", "<|channel|>analysis<|message|>x", "<think>x</think>", "◁think▷x"]
)
def test_a_text_of_reasoning_alone_is_empty(text: str) -> None:
    assert remove_reasoning(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "I think you like tea.", "Price < 5 & size > 3", "<p>Think <b>twice</b></p>", "Reasoning: none", "2 < think",
        "<thinker>Rodin</thinker>", "[Think] about it", "<article>x</article>", "analysis of your site", "a | b",
    ],
)  # fmt: skip
def test_a_text_about_thinking_stays(text: str) -> None:
    assert remove_reasoning(text) == text
