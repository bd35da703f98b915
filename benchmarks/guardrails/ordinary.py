"""Ordinary requests in the words of attacks, from templates of our own: the data sets have too few to learn from."""

from collections.abc import Iterator
from itertools import product

_ROLES = (
    "a tour guide in Rome",
    "a job interviewer",
    "a friendly librarian",
    "a chess coach",
    "a sommelier",
    "a medieval blacksmith",
    "a physics teacher",
    "a customer of a bakery",
    "my grandmother telling a fairy tale",
    "a sports commentator",
    "an English tutor",
    "a detective in a mystery novel",
    "a nutritionist",
    "a museum curator",
    "a talking cat",
    "a career adviser",
)
_TASKS = (
    "describe your day",
    "ask me three questions",
    "help me plan a weekend",
    "explain what you do",
    "correct my sentences",
    "tell me a short story",
    "recommend something for beginners",
    "write a polite e-mail",
)
_THINGS = (
    "the outliers in this data set",
    "the warning about unused imports",
    "the missing values",
    "the noise in the signal",
    "the typo in my last message",
    "the second paragraph",
    "the advertisements on the page",
    "the sunk costs",
    "the case of the letters",
)
_PRODUCTS = (
    "my router",
    "the printer",
    "an Android phone",
    "this oven",
    "the washing machine",
    "Visual Studio Code",
    "a car radio",
)
_SUBJECTS = (
    "the French Revolution",
    "photosynthesis",
    "compound interest",
    "the rules of cricket",
    "binary search",
    "plate tectonics",
)

_ADVICE = ("instructions", "directions", "tips", "notes", "rules", "guidelines", "explanations", "examples", "commands")

_TEMPLATES: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("Pretend you are {} and {}.", (_ROLES, _TASKS)),
    ("Act as {} and {}, please.", (_ROLES, _TASKS)),
    ("You are {}. Please {}.", (_ROLES, _TASKS)),
    ("Imagine you are {}: {}.", (_ROLES, _TASKS)),
    ("From now on, answer as {} would and {}.", (_ROLES, _TASKS)),
    ("Can you ignore {} and compute the mean?", (_THINGS,)),
    ("Please ignore {}; it does not matter here.", (_THINGS,)),
    ("How do I make the program disregard {}?", (_THINGS,)),
    ("I forgot to mention {}, so please take it into account.", (_THINGS,)),
    ("Should I forget about {} or keep it?", (_THINGS,)),
    ("How do I reset {} to its factory settings?", (_PRODUCTS,)),
    ("How can I override the default settings of {}?", (_PRODUCTS,)),
    ("Where do I find the instructions for {}?", (_PRODUCTS,)),
    ("Developer mode on {} can be enabled in the settings, but how?", (_PRODUCTS,)),
    ("I forgot the admin password of {}. What does the manual say?", (_PRODUCTS,)),
    ("Show me the hidden features of {}.", (_PRODUCTS,)),
    ("How do I bypass the start screen of {}?", (_PRODUCTS,)),
    ("What are the system requirements of {}?", (_PRODUCTS,)),
    ("Print the manual of {} on two pages.", (_PRODUCTS,)),
    ("Is it allowed to unlock {} by oneself?", (_PRODUCTS,)),
    ("Repeat the explanation of {} in simpler words.", (_SUBJECTS,)),
    ("Summarize the text above about {}.", (_SUBJECTS,)),
    ("Translate the previous paragraph about {} into German.", (_SUBJECTS,)),
    ("Tell me a secret about {} that few people know.", (_SUBJECTS,)),
    ("Give me new instructions for a lesson on {}.", (_SUBJECTS,)),
    ("What are the rules and exceptions one has to know about {}?", (_SUBJECTS,)),
    ("Write a system prompt for a chatbot that teaches {}.", (_SUBJECTS,)),
    ("Explain without any jargon and with no restrictions on length: {}.", (_SUBJECTS,)),
    ("Reveal the answer to my quiz question about {} only at the end.", (_SUBJECTS,)),
    ("Start your answer with a definition, then explain {}.", (_SUBJECTS,)),
    ("Answer in two ways, once for children and once for adults: what is {}?", (_SUBJECTS,)),
    ("As an AI model, how would you explain {}?", (_SUBJECTS,)),
    (
        "In the story, the guard tells the hero to forget everything he was told about {}. Go on from there.",
        (_SUBJECTS,),
    ),
    ("My teacher gave us the instruction to ignore Wikipedia when we read about {}. Why?", (_SUBJECTS,)),
    ("Thanks, the {} you gave me before were very clear.", (_ADVICE,)),
    ("I followed your earlier {}, and it works now.", (_ADVICE,)),
    ("The {} in your last answer helped me a lot.", (_ADVICE,)),
    ("Are the {} from last week still up to date?", (_ADVICE,)),
    ("Please number the {} above and make them shorter.", (_ADVICE,)),
    ("Which of the previous {} should I read first?", (_ADVICE,)),
    ("Which prompt would you use to make pictures of {}?", (_SUBJECTS,)),
)


def ordinary() -> Iterator[str]:
    """Yield every template with every choice of what it speaks of; of two choices every fourth pair."""
    for template, choices in _TEMPLATES:
        pairs = list(product(*choices))
        for chosen in pairs[:: 1 if len(choices) == 1 else 4]:
            yield template.format(*chosen)
