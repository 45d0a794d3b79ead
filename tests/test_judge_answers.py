"""What rating a judge's answer states."""

import pytest

from metrics.judge.answers import score_of


@pytest.mark.parametrize("text", [
    "4", " 4\n", "4.", "4.0", "4/5", "4.0/5.0", "4 / 5", "(4)", "**4**", "Score: 4", "score = 4", "Score: 4/5 (good)",
    "Rating: **4** out of 5", "I would rate this 4 out of 5", "I'd give it a 4.", "The adequacy score is 4",
    "On a scale of 1 to 5, I would rate this a 4.", "On the Likert scale (1-5): 4", "4\n\nThe 2 dogs are fine.",
    "4 - two words are off", "4 (highly fluent, but 1 word is off)", '{"score": 4}', '{"score": "4"}', '{"Score": 4.0}',
    '```json\n{"adequacy": 4, "reason": "2 dogs, not 3"}\n```', "Fluency: 4/5. So the score is 4.",
    "I rate the adequacy of sentence 2 with respect to sentence 1 as 4.", "<think>2 or 3? No.</think>\n\n4",
    "the template opened the thought: 2?\n</think>\nScore: 4"])
def test_answers_that_state_4(text):
    assert score_of(text) == 4


@pytest.mark.parametrize("text", [
    "", "I cannot rate this.", "3 or 4 out of 5", "between 3 and 4/5",
    "10", "0", "6", "-4", "14", "4.5", "4.55", "4%", "4th", "4/10", "Score: 4/10", "4 out of 10",
    "Score: 10", "between 3 and 4", "3-4", "3\u20134", "Score: 3-4", "3 or 4", "3 to 4", "3, 4", "1-5", "1.5/5",
    "2024-05-04", "Fluency: 4, adequacy: 2", "Score: 4, or rather a score of 3", '{"score": null}',
    "<think>The score is 4"])
def test_answers_that_state_nothing(text):
    assert score_of(text) is None


@pytest.mark.parametrize(("text", "score"), [
    ("4. The sentence", 4), ("Score: 4. The", 4), ("4/5, as", 4), ("Score: 4/5 because", 4),
    ('{"score": 4}\n\n', 4), ('{"score": 4\n\n\n', 4), ("4", None),
    ('{"score": 1', None), ("1", None), ("Score: 1", None),
    ("The user wants a rating; it could be a 4, but", None), ("I would rate it 4 out of 5, or", None)])
def test_cut_answers(text, score):
    assert score_of(text, cut=True) == score


@pytest.mark.parametrize("score", range(1, 6))
def test_every_step_of_the_scale(score):
    assert score_of(f"{score}") == score_of(f"{score}/5") == score_of(f"Score: {score}") == score
