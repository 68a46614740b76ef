"""Writes the training text of the bundled model: clinic notes, letters, and talk about them.

Everything is drawn from the tables in facts.py with a seeded generator, so one seed gives one corpus. A document is
a list of (role, text) turns; role `None` is plain text. `python3 corpus.py` prints a few of each kind, and
`python3 corpus.py --documents 400 --seed 77` so many documents as the model reads them, without drama.
"""

import argparse
import random
import re

from facts import (ADVICE, ALLERGIES, CONDITIONS, DOCTORS, DRUGS, FEMALE, HOMES, JOBS, LAST, MALE, MONTHS, NUMBERS,
                   PLACES, SMALL_TALK, TESTS, WARDS)


def a(noun):
    """The noun with its indefinite article, unless it brings one or needs none."""
    if noun.startswith(("a ", "an ")):
        return noun
    return ("an " if noun[0] in "aeiouAEIO8" or noun.startswith(("11", "18")) else "a ") + noun


def listed(items, last="and"):
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + f" {last} " + items[-1]


def upper(text):
    return text[0].upper() + text[1:]


def bare(condition):
    """The name of a condition as a heading: without article, with a capital."""
    return upper(re.sub(r"^(a|an) ", "", condition))


def made_up(rng):
    """A name from syllables, so that copying a name is learned and not only the lists of names."""
    parts = ["ba", "be", "bor", "da", "del", "dri", "fa", "fer", "ga", "gri", "ha", "jo", "ka", "kel", "li", "lo", "ma",
             "mer", "ni", "no", "or", "pa", "qui", "ra", "ro", "sa", "sel", "ta", "ter", "va", "vi", "wen", "ya", "zu"]
    ends = ["n", "r", "s", "l", "ck", "ng", "tt", "m", "sky", "son", "ford", "ley", "man", "a", "o", "i", "er", "ez"]
    return upper("".join(rng.choice(parts) for _ in range(rng.choice([1, 2, 2, 3]))) + rng.choice(ends))


class Record:
    """One invented patient at one visit; every text about the visit is written from here."""

    def __init__(self, rng):
        self.condition = rng.choice(list(CONDITIONS))
        what, symptoms, drugs, test, finding, advice, clinic = CONDITIONS[self.condition]
        self.sex = rng.choice("fm")
        self.first = rng.choice(FEMALE if self.sex == "f" else MALE) if rng.random() < 0.9 else made_up(rng)
        self.last = rng.choice(LAST) if rng.random() < 0.7 else made_up(rng)
        self.name = f"{self.first} {self.last}"
        self.title = rng.choice(["Mrs", "Ms"]) if self.sex == "f" else "Mr"
        self.he, self.his, self.him = ("she", "her", "her") if self.sex == "f" else ("he", "his", "him")
        self.person = "woman" if self.sex == "f" else "man"
        self.age = rng.randint(19, 89)
        self.number = f"{rng.randint(100, 999)}-{rng.randint(100, 999)}"
        self.symptoms = rng.sample(symptoms, min(2, len(symptoms)))
        self.duration = rng.choice(["two days", "three days", "five days", "a week", "two weeks", "three weeks",
                                    "a month", "two months", "six months"])
        self.drug = rng.choice(drugs)
        self.dose, self.often = rng.choice(DRUGS[self.drug][2])
        self.test, self.finding, self.advice, self.clinic = test, finding, rng.choice(advice), clinic
        safe = [x for x in ALLERGIES if not (x == "penicillin" and self.drug in
                                             ("amoxicillin", "flucloxacillin", "penicillin V"))
                and not (x in ("aspirin", "ibuprofen") and self.drug == "naproxen")]
        self.allergy = rng.choice(safe) if rng.random() < 0.6 else None
        self.doctor = "Dr " + rng.choice(DOCTORS)
        self.colleague = "Dr " + rng.choice([d for d in DOCTORS if "Dr " + d != self.doctor])
        self.ward, self.place = rng.choice(WARDS), rng.choice(PLACES)
        self.date = f"{rng.randint(1, 28)} {rng.choice(MONTHS)}"
        self.weeks = rng.choice(list(NUMBERS))
        self.pressure = f"{rng.randint(100, 170)}/{rng.randint(60, 100)}"
        self.pulse, self.temperature = rng.randint(56, 110), f"{rng.randint(36, 38)}.{rng.randint(0, 9)}"
        self.job, self.home = rng.choice(JOBS), rng.choice(HOMES)


# Notes: each returns the text and the set of facts that can be asked about it.

BASIC = {"name", "age", "condition", "drug", "dose", "allergy", "symptoms", "weeks"}


def form_note(rng, r):
    lines = [("Patient", f"{r.name}, {r.age} years"), ("Date", r.date), ("Doctor", r.doctor),
             ("Complaint", f"{listed(r.symptoms)} for {r.duration}")]
    asked = BASIC | {"doctor", "date", "duration"}
    if rng.random() < 0.5:
        lines.insert(1, ("Number", r.number))
        asked |= {"number"}
    if rng.random() < 0.5:
        lines.append(("Findings", f"blood pressure {r.pressure}, pulse {r.pulse}, temperature {r.temperature}"))
        asked |= {"pressure", "pulse", "temperature"}
    lines += [("Test", f"{r.test}: {r.finding}"), ("Diagnosis", re.sub("^(a|an) ", "", r.condition)),
              ("Allergies", r.allergy or "none known"), ("Treatment", f"{r.drug} {r.dose} {r.often}"),
              ("Advice", r.advice),
              ("Plan", f"{r.clinic} in {NUMBERS[r.weeks]} weeks")]
    head = rng.choice(["CLINIC NOTE\n", "OUTPATIENT NOTE\n", f"{r.place}\n", ""])
    return head + "\n".join(f"{k}: {v}" for k, v in lines), asked | {"test", "advice", "clinic"}


def prose_note(rng, r):
    opening = rng.choice([
        f"{r.title} {r.name} is a {r.age}-year-old {r.job} who came in with {listed(r.symptoms)} for {r.duration}.",
        f"{r.name}, a {r.age}-year-old {r.person}, was seen by {r.doctor} on {r.date} with {listed(r.symptoms)}.",
        f"Seen today: {r.name}, {r.age} years old, with {listed(r.symptoms)} for {r.duration}.",
        f"{r.name} is a {r.age}-year-old {r.person} with {r.condition}."])
    asked = BASIC - {"symptoms"} | {"test"}
    if "with " + listed(r.symptoms) in opening:
        asked |= {"symptoms"}
    if r.job in opening:
        asked |= {"job"}
    if r.doctor in opening:
        asked |= {"doctor"}
    parts = [opening]
    if rng.random() < 0.4:
        parts.append(f"{upper(r.he)} {r.home}.")
        asked |= {"home"}
    if rng.random() < 0.4:
        parts.append(f"Blood pressure was {r.pressure} and the pulse was {r.pulse}.")
        asked |= {"pressure", "pulse"}
    parts.append(rng.choice([f"The {r.test} showed {r.finding}.", f"{upper(a(r.test))} was done and showed {r.finding}."]))
    if f"with {r.condition}" not in opening:
        parts.append(rng.choice([f"The diagnosis is {r.condition}.", f"This is {r.condition}.",
                                 f"{upper(r.he)} has {r.condition}."]))
    parts.append(f"{upper(r.he)} is allergic to {r.allergy}." if r.allergy else
                 rng.choice(["No allergies.", f"{upper(r.he)} has no known allergies."]))
    parts.append(rng.choice([f"{upper(r.he)} was given {r.drug} {r.dose} {r.often}.",
                             f"We started {r.drug} {r.dose} {r.often}.",
                             f"Treatment: {r.drug} {r.dose} {r.often}."]))
    if rng.random() < 0.6:
        parts.append(f"{upper(r.he)} was told to {r.advice}.")
        asked |= {"advice"}
    parts.append(f"Review in the {r.clinic} in {NUMBERS[r.weeks]} weeks.")
    return " ".join(parts), asked | {"clinic"}


def short_note(rng, r):
    """Two or three sentences, as people type them."""
    text = rng.choice([
        f"{r.name}, {r.age}, has {r.condition} and takes {r.drug} {r.dose} {r.often}.",
        f"Patient {r.name}, age {r.age}, {r.condition}, on {r.drug} {r.dose} {r.often}.",
        f"{r.name} is {r.age} years old and has {r.condition}. {upper(r.he)} takes {r.drug} {r.dose} {r.often}.",
        f"My patient {r.name} ({r.age}) has {r.condition}. I gave {r.him} {r.drug} {r.dose} {r.often}."])
    asked = {"name", "age", "condition", "drug", "dose"}
    if rng.random() < 0.5:
        text += f" Allergic to {r.allergy}." if r.allergy else " No allergies."
        asked |= {"allergy"}
    if rng.random() < 0.3:
        text += f" {upper(r.he)} is on {r.ward}." if r.ward[0] == "W" else f" {upper(r.he)} is in {r.ward}."
        asked |= {"ward"}
    return text, asked


def ward_note(rng, r):
    where = r.ward if r.ward[0] == "W" else upper(r.ward)
    text = (f"{where}, {r.date}\n{r.name}, {r.age} years old, admitted with {listed(r.symptoms)}. "
            + rng.choice(["Comfortable overnight", "Slept well", "Tired but comfortable", "Feels better today"])
            + f". Temperature {r.temperature}, pulse {r.pulse}, blood pressure {r.pressure}. "
            + (f"Allergic to {r.allergy}. " if r.allergy else "No known allergies. ")
            + f"Continue {r.drug} {r.dose} {r.often} for {r.condition}. "
            + rng.choice(["Eating and drinking well.", "Family visited.", "Walked to the window with help.",
                          f"{r.doctor} will see {r.him} tomorrow."]))
    asked = BASIC - {"weeks"} | {"ward", "date", "temperature", "pulse", "pressure"}
    return text, asked | ({"doctor"} if r.doctor in text else set())


def discharge_letter(rng, r):
    place = r.place
    text = (f"{place}, {r.date}\n\nDear {r.colleague},\n\n"
            + rng.choice([
                f"{r.title} {r.name}, aged {r.age}, was admitted to {r.ward} with {listed(r.symptoms)}.",
                f"Thank you for taking over the care of {r.name}, a {r.age}-year-old {r.person} who was admitted to "
                f"{r.ward} with {listed(r.symptoms)}."])
            + rng.choice([f" The {r.test} showed {r.finding}, and we made the diagnosis of {r.condition}.",
                          f" {upper(r.he)} had {r.condition}, and the {r.test} showed {r.finding}."])
            + rng.choice([f" {upper(r.he)} was treated with {r.drug} {r.dose} {r.often} and soon felt better.",
                          f" We started {r.drug} {r.dose} {r.often}, and {r.he} recovered well."])
            + (f" {upper(r.he)} is allergic to {r.allergy}." if r.allergy else f" {upper(r.he)} has no known allergies.")
            + f"\n\nPlease continue the treatment. We advised {r.him} to {r.advice}. "
            + f"{upper(r.he)} will be seen in the {r.clinic} in {NUMBERS[r.weeks]} weeks.\n\n"
            + rng.choice(["With kind regards", "Yours sincerely", "With best wishes"]) + f",\n{r.doctor}")
    return text, BASIC | {"ward", "doctor", "test", "advice", "clinic", "date"}


def referral_letter(rng, r):
    text = (f"{r.place}, {r.date}\n\nDear {rng.choice(['colleague', 'colleagues', r.colleague])},\n\n"
            + rng.choice([f"Please could you see {r.title} {r.name}, aged {r.age}, who has had {listed(r.symptoms)} "
                          f"for {r.duration}.",
                          f"I would be grateful if you could see {r.name}, a {r.age}-year-old {r.job}, in your "
                          f"{r.clinic}. {upper(r.he)} has had {listed(r.symptoms)} for {r.duration}."])
            + f" The {r.test} showed {r.finding}. I think that this is {r.condition}."
            + f" {upper(r.he)} takes {r.drug} {r.dose} {r.often}"
            + (f" and is allergic to {r.allergy}." if r.allergy else " and has no known allergies.")
            + "\n\n" + rng.choice(["Thank you for your help.", "I would value your opinion on the treatment.",
                                   f"Please let me know whether {r.he} needs further tests."])
            + "\n\n" + rng.choice(["With kind regards", "Yours sincerely", "With best wishes"]) + f",\n{r.doctor}")
    return text, BASIC - {"weeks"} | {"doctor", "duration", "test", "date"}


def phone_note(rng, r):
    text = (f"Telephone call, {r.date}. {r.name}, {r.age}, called about {listed(r.symptoms)} for {r.duration}. "
            f"{upper(r.he)} takes {r.drug} {r.dose} {r.often} for {r.condition}. "
            + (f"Allergic to {r.allergy}. " if r.allergy else "No allergies. ")
            + f"I told {r.him} to {r.advice} and to come to the {r.clinic} in {NUMBERS[r.weeks]} weeks.")
    return text, BASIC | {"duration", "advice", "clinic", "date"}


NOTES = [form_note, form_note, prose_note, prose_note, prose_note, short_note, short_note, ward_note, discharge_letter,
         referral_letter, phone_note]

# Questions about a note. Each entry: spellings of the question, and the answer as a function of the record.

ASK = {
    "name": (["What is the patient's name?", "Who is the patient?", "What is the name of the patient?",
              "Which patient is this?", "Who is this note about?", "What's the patient called?", "Name of the patient?"],
             lambda r: f"The patient is {r.name}."),
    "age": (["How old is the patient?", "What is the patient's age?", "How old is {he}?", "What age is the patient?",
             "Age of the patient?", "How old is {first} {last}?"],
            lambda r: f"{upper(r.he)} is {r.age} years old."),
    "condition": (["What is the diagnosis?", "What does the patient have?", "Which condition does the patient have?",
                   "What is wrong with the patient?", "What is {first} {last} treated for?", "What illness is it?"],
                  lambda r: f"The diagnosis is {r.condition}."),
    "drug": (["Which medicine does the patient take?", "What drug was given?", "What is the treatment?",
              "What medicine is {he} on?", "Which drug does {first} {last} take?", "What was prescribed?",
              "What medication is the patient taking?"],
             lambda r: f"{upper(r.he)} takes {r.drug} {r.dose} {r.often}."),
    "dose": (["What is the dose?", "What is the dose of {drug}?", "How much {drug} does {he} take?",
              "How often does {he} take {drug}?", "Which dose was given?"],
             lambda r: f"The dose is {r.dose} {r.often}."),
    "allergy": (["Does the patient have any allergies?", "Is the patient allergic to anything?",
                 "What is the patient allergic to?", "Any allergies?", "Which allergies does {he} have?",
                 "What allergy does the patient have?"],
                lambda r: f"Yes, {r.he} is allergic to {r.allergy}." if r.allergy else
                f"No, {r.he} has no known allergies."),
    "symptoms": (["What are the symptoms?", "What symptoms does the patient have?", "Why did the patient come?",
                  "What did {he} complain of?", "What brought {him} in?", "Why was {he} seen?"],
                 lambda r: f"{upper(r.he)} has {listed(r.symptoms)}."),
    "duration": (["How long has the patient had this?", "For how long?", "How long have the symptoms lasted?"],
                 lambda r: f"For {r.duration}."),
    "weeks": (["When is the next visit?", "When should {he} come back?", "When is the follow-up?",
               "When will the patient be seen again?"],
              lambda r: f"In {NUMBERS[r.weeks]} weeks."),
    "clinic": (["Where is the follow-up?", "Which clinic will see the patient?", "Where should {he} go next?"],
               lambda r: f"In the {r.clinic}."),
    "doctor": (["Who is the doctor?", "Which doctor saw the patient?", "Who wrote this?", "What is the doctor's name?"],
               lambda r: f"The doctor is {r.doctor}."),
    "ward": (["Which ward is the patient on?", "Where is the patient?", "What ward is it?"],
             lambda r: f"The patient is {'on' if r.ward[0] == 'W' or r.ward.endswith('ward') else 'in'} {r.ward}."),
    "date": (["What is the date?", "When was this written?", "What is the date of the note?"],
             lambda r: f"The date is {r.date}."),
    "test": (["Which test was done?", "What did the test show?", "What was the result of the test?"],
             lambda r: f"The {r.test} showed {r.finding}."),
    "advice": (["What advice was given?", "What should the patient do?", "What was {he} told to do?"],
               lambda r: f"{upper(r.he)} should {r.advice}.".replace("your", r.his)),
    "pressure": (["What is the blood pressure?", "What was the blood pressure?"],
                 lambda r: f"The blood pressure is {r.pressure}."),
    "pulse": (["What is the pulse?", "What was the heart rate?"], lambda r: f"The pulse is {r.pulse}."),
    "temperature": (["What is the temperature?", "Does the patient have a fever?"],
                    lambda r: (f"The temperature is {r.temperature}.")),
    "number": (["What is the patient number?", "Which number does the patient have?"],
               lambda r: f"The number is {r.number}."),
    "job": (["What is the patient's job?", "What does the patient do for work?"],
            lambda r: f"{upper(r.he)} is {a(r.job)}."),
    "home": (["How does the patient live?", "Who does the patient live with?"], lambda r: f"{upper(r.he)} {r.home}."),
}

SUMMARY = ["Summarise this note.", "Please summarise the note in one sentence.", "Give me a short summary.",
           "What is this note about?", "Sum this up for me.", "Can you summarise this?"]


def summary(rng, r):
    return (f"{r.name} is a {r.age}-year-old {r.person} with {r.condition} who takes {r.drug} {r.dose} {r.often}.")


def typed(rng, text):
    """The text as people type it: mostly as written, sometimes in lower case or without the last mark."""
    if rng.random() < 0.12:
        text = text.lower()
    if rng.random() < 0.10:
        text = text.rstrip("?.!")
    if rng.random() < 0.06:
        text = rng.choice(["Please tell me: ", "Can you tell me: ", "Question: ", "One more thing: "]) + text
    return text


def question(rng, r, fact):
    spellings, answer = ASK[fact]
    text = rng.choice(spellings).format(he=r.he, him=r.him, first=r.first, last=r.last, drug=r.drug)
    # Most requests ask for names and ages; keep the full question next to the plain ones.
    return typed(rng, text), answer(r)


def note_dialogue(rng):
    r = Record(rng)
    note, asked = rng.choice(NOTES)(rng, r)
    weights = {"name": 4, "age": 4, "drug": 3, "dose": 2, "allergy": 3, "condition": 3}
    facts = sorted(asked)
    turns = []
    for i in range(min(len(facts), rng.choice([2, 3, 3, 4, 5, 6]))):
        if rng.random() < 0.12:
            q, answer = typed(rng, rng.choice(SUMMARY)), summary(rng, r)
        elif rng.random() < 0.1:
            q, answer = general(rng, condition=r.condition, drug=r.drug)
        else:
            fact = rng.choices(facts, [weights.get(f, 1) for f in facts])[0]
            facts.remove(fact)
            q, answer = question(rng, r, fact)
        if i == 0:
            q = rng.choice([f"{note}\n\n{q}", f"{note}\n\n{q}", f"{note}\n{q}", f"{note} {q}", f"{q}\n\n{note}",
                            f"Here is a note.\n\n{note}\n\n{q}", f"Read this note: {note}\n\n{q}"])
        turns += [("user", q), ("assistant", answer)]
    return turns


# General questions.

def general(rng, condition=None, drug=None):
    kind = rng.random()
    if condition is None and kind < 0.16:
        spellings, answer = rng.choice(ADVICE)
        return typed(rng, rng.choice(spellings)), answer
    if condition is None and kind < 0.26:
        test = rng.choice(list(TESTS))
        shows, prepare, happens = TESTS[test]
        if rng.random() < 0.5:
            return typed(rng, rng.choice([f"How do I prepare for {a(test)}?", f"What should I do before {a(test)}?",
                                          f"I will have {a(test)}. How do I prepare?"])), f"{prepare}."
        return typed(rng, rng.choice([f"What is {a(test)}?", f"What happens in {a(test)}?",
                                      f"What does {a(test)} show?", f"What is {a(test)} for?"])), \
            f"{upper(a(test))} shows {shows}. In the test, {happens}."
    if kind < 0.60:
        drug = drug or rng.choice(list(DRUGS))
        what, purpose, doses, how, effects = DRUGS[drug]
        pick = rng.random()
        if pick < 0.4:
            return typed(rng, rng.choice([f"What is {drug} for?", f"What is {drug}?", f"What does {drug} do?",
                                          f"Why do people take {drug}?", f"What is {drug} used for?",
                                          f"Tell me about {drug}.", f"Can you explain what {drug} is?"])), \
                f"{upper(drug)} is {what}. It is used to {purpose}."
        if pick < 0.6:
            return typed(rng, rng.choice([f"What are the side effects of {drug}?", f"Does {drug} have side effects?",
                                          f"Which side effects can {drug} cause?", f"Is {drug} safe?"])), \
                f"{upper(drug)} can cause {listed(effects, 'or')}. Ask a pharmacist if you are worried."
        if pick < 0.8:
            return typed(rng, rng.choice([f"How should I take {drug}?", f"How do I take {drug}?",
                                          f"When should I take {drug}?"])), \
                f"Take {drug} {how}, and follow the advice of your doctor."
        return typed(rng, rng.choice([f"What is the usual dose of {drug}?", f"How much {drug} should I take?",
                                      f"What dose of {drug} is normal?"])), \
            f"A usual dose of {drug} is {listed(sorted({d for d, _ in doses}, key=[d for d, _ in doses].index), 'or')} " \
            f"{doses[0][1]}. Your doctor decides what is right for you."
    condition = condition or rng.choice(list(CONDITIONS))
    what, symptoms, drugs, test, finding, advice, clinic = CONDITIONS[condition]
    pick = rng.random()
    if pick < 0.25:
        return typed(rng, rng.choice([f"What is {condition}?", f"What does {condition} mean?",
                                      f"Can you explain {condition}?", f"Tell me about {condition}.",
                                      f"Explain {condition} to me."])), \
            f"{upper(condition)} is {what}."
    if pick < 0.5:
        return typed(rng, rng.choice([f"What are the symptoms of {condition}?", f"What are the signs of {condition}?",
                                      f"How do I know if I have {condition}?", f"How does {condition} feel?",
                                      f"Which symptoms does {condition} cause?"])), \
            f"The usual symptoms are {listed(symptoms)}."
    if pick < 0.7:
        return typed(rng, rng.choice([f"How is {condition} treated?", f"What is the treatment of {condition}?",
                                      f"Which medicines are used for {condition}?", f"What helps against {condition}?",
                                      f"What can be done about {condition}?"])), \
            f"{upper(condition)} is often treated with {listed(drugs, 'or')}. It also helps to {advice[0]}."
    if pick < 0.85:
        return typed(rng, rng.choice([f"What can I do about {condition} myself?", f"I have {condition}. What should I do?",
                                      f"Any advice for {condition}?", f"How can I live well with {condition}?"])), \
            f"It helps to {advice[0]} and to {advice[1]}. See your doctor if it gets worse."
    return typed(rng, rng.choice([f"Which test shows {condition}?", f"How is {condition} found?",
                                  f"How do doctors diagnose {condition}?"])), \
        f"{upper(a(test))} can show it. In {condition} it often shows {finding}."


def general_dialogue(rng):
    turns = []
    if rng.random() < 0.12:
        turns += small_talk(rng)
    for _ in range(rng.choice([1, 1, 2, 2, 3, 4])):
        q, answer = general(rng)
        turns += [("user", q), ("assistant", answer)]
    if rng.random() < 0.12:
        turns += small_talk(rng, 1)
    return turns


def small_talk(rng, kind=None):
    questions, answers = rng.choice(SMALL_TALK) if kind is None else SMALL_TALK[kind]
    q = rng.choice(questions)
    return [("user", q.lower().rstrip("?!.") if rng.random() < 0.2 else q), ("assistant", rng.choice(answers))]


def small_talk_dialogue(rng):
    return [turn for _ in range(rng.choice([1, 1, 2, 3])) for turn in small_talk(rng)]


def writing_dialogue(rng):
    """The user asks for a text and gives some of its facts; the text keeps them."""
    style = rng.choice([prose_note, form_note, discharge_letter, discharge_letter, referral_letter, ward_note])
    what = {prose_note: "note", form_note: "clinic note", discharge_letter: "discharge letter",
            referral_letter: "referral letter", ward_note: "ward note"}[style]
    r = Record(rng)
    verb = rng.choice(["Write", "Please write", "Can you write", "Draft"])
    short = rng.choice(["", "", "short "])
    about = rng.choice([
        f"about a patient with {r.condition}", f"for a patient with {r.condition}",
        f"for a {r.age}-year-old {r.person} with {r.condition}", f"about a {r.age}-year-old {r.person} with {r.condition}",
        f"for {r.name}, who has {r.condition}", f"about {r.name}, {r.age}, who has {r.condition}",
        f"for {r.name}, aged {r.age}, with {r.condition}. {upper(r.he)} takes {r.drug} {r.dose} {r.often}"])
    request = f"{verb} {a(short + what)} {about}" + ("?" if verb.startswith("Can") else ".")
    turns = [("user", typed(rng, request)), ("assistant", style(rng, r)[0])]
    if rng.random() < 0.3:
        turns += small_talk(rng, 1)
    elif rng.random() < 0.5:
        q, answer = question(rng, r, rng.choice(["name", "age", "condition", "drug", "allergy"]))
        turns += [("user", q), ("assistant", answer)]
    return turns


def sparse_dialogue(rng):
    """The user tells something personal in one line; a question follows in the same or the next turn."""
    r = Record(rng)
    q, answer = rng.choice([
        (f"My name is {r.name} and I am {r.age} years old. What is my name?", f"Your name is {r.name}."),
        (f"My name is {r.name} and I am {r.age} years old. How old am I?", f"You are {r.age} years old."),
        (f"I am {r.first}. I have {r.condition}. What is it?",
         f"{upper(r.condition)} is {CONDITIONS[r.condition][0]}."),
        (f"I have {listed(r.symptoms)}. What could it be?",
         f"It could be {r.condition}, but please see a doctor to be sure."),
        (f"I take {r.drug} {r.dose} {r.often}. What is it for?",
         f"{upper(r.drug)} is {DRUGS[r.drug][0]}. It is used to {DRUGS[r.drug][1]}."),
        (f"I have {r.condition} and take {r.drug}. Is that right?",
         f"Yes, {r.drug} is often used for {r.condition}. Your doctor decides what is right for you.")])
    return [("user", typed(rng, q)), ("assistant", answer)]


def patients(rng):
    """Several patients with different last names and conditions."""
    chosen, count = [], rng.choice([2, 3, 3, 4, 5])
    while len(chosen) < count:
        r = Record(rng)
        if all(r.last != o.last and r.condition != o.condition and r.first != o.first for o in chosen):
            chosen.append(r)
    return chosen


def list_dialogue(rng):
    """A list of patients and questions that need one line of it: looking up is learned from these."""
    chosen = patients(rng)
    line = rng.choice([lambda r: f"{r.name}, {r.age}, {r.condition}, {r.drug} {r.dose}",
                       lambda r: f"{r.name} ({r.age}): {r.condition}, takes {r.drug} {r.dose} {r.often}",
                       lambda r: f"{r.name}, {r.age} years, {r.condition}, allergic to {r.allergy or 'nothing'}"])
    bullet = rng.choice(["\n", "\n- "])
    text = rng.choice(["Patients today:", "Ward list:", "Our patients:", "List of patients:"]) + "".join(
        bullet + line(r) for r in chosen)
    turns = []
    rng.shuffle(chosen)
    for i, r in enumerate(chosen[:4]):
        q, answer = rng.choice([
            (f"How old is {r.name}?", f"{r.name} is {r.age} years old."),
            (f"What does {r.name} have?", f"{r.name} has {r.condition}."),
            (f"Who has {r.condition}?", f"{r.name} has {r.condition}."),
            (f"Who is {r.age} years old?", f"{r.name} is {r.age} years old."),
            (f"What is the full name of {r.title} {r.last}?", f"The full name is {r.name}."),
            (f"What does {r.name} take?", f"{r.name} takes {r.drug} {r.dose}.") if r.drug in line(r) else
            (f"What is {r.name} allergic to?", f"{r.name} is allergic to {r.allergy or 'nothing'}.")])
        q = typed(rng, q)
        turns += [("user", f"{text}\n\n{q}" if i == 0 else q), ("assistant", answer)]
    return turns


# Plain text.

def register(rng):
    """The day's register: the same people again in another order."""
    chosen = patients(rng)
    lines = [f"{r.name}, {r.age}, number {r.number}" for r in chosen]
    seen = rng.sample(lines, len(lines))
    return [(None, f"Register of {chosen[0].date}\n" + "\n".join(lines)
             + rng.choice(["\n\nSeen in this order:\n", "\n\nDischarged:\n", "\n\nTo call back:\n"]) + "\n".join(seen))]


def leaflet(rng):
    """Questions and answers as a printed leaflet, so that the facts are also known outside a chat."""
    if rng.random() < 0.5:
        condition = rng.choice(list(CONDITIONS))
        what, symptoms, drugs, test, finding, advice, clinic = CONDITIONS[condition]
        text = (f"{bare(condition)}\n\n{upper(condition)} is {what}. The usual symptoms are {listed(symptoms)}. "
                f"It is found by {a(test)}, which often shows {finding}. It is often treated with "
                f"{listed(drugs, 'or')}. It helps to {advice[0]} and to {advice[1]}. "
                f"Patients are seen in the {clinic}.")
    else:
        drug = rng.choice(list(DRUGS))
        what, purpose, doses, how, effects = DRUGS[drug]
        text = (f"{upper(drug)}\n\n{upper(drug)} is {what}. It is used to {purpose}. A usual dose is "
                f"{doses[0][0]} {doses[0][1]}. Take it {how}. It can cause {listed(effects, 'or')}.")
    return [(None, text)]


def plain_questions(rng):
    lines = []
    for _ in range(rng.randint(2, 4)):
        q, answer = general(rng)
        lines.append(f"{q}\n{answer}")
    return [(None, "\n\n".join(lines))]


def plain_note(rng):
    return [(None, rng.choice(NOTES)(rng, Record(rng))[0])]


def story(rng):
    """A few simple sentences of everyday prose around a clinic."""
    r = Record(rng)
    other = Record(rng)
    weather = rng.choice(["It was a cold morning", "It was a warm day", "It rained all day", "The sun was shining",
                          "There was snow on the roofs", "A strong wind blew from the sea"])
    middle = [
        f"{r.first} put on a coat and walked to the {r.clinic}.",
        f"The waiting room was {rng.choice(['full', 'quiet', 'almost empty', 'warm and bright'])}.",
        f"{rng.choice(['An old man', 'A young woman', 'A child', 'A ' + other.job])} was reading "
        f"{rng.choice(['a newspaper', 'a book', 'a letter', 'an old magazine'])} by the window.",
        f"The nurse smiled and asked {r.him} to sit down.",
        f"{r.first} was a {r.job} and {rng.choice(['did not like to wait', 'had come by bus', 'had slept badly', 'was in no hurry'])}.",
        f"\"How are you today?\" asked {r.doctor}. \"{rng.choice(['Better, thank you', 'A little tired', 'I still have ' + r.symptoms[0], 'Not so well'])},\" "
        f"said {r.first}.",
        f"{r.doctor} listened for a long time and wrote something down.",
        f"On the way home {r.he} bought {rng.choice(['bread and apples', 'some flowers', 'a loaf of bread', 'fish for supper'])}.",
        f"{r.first} met {r.his} friend {other.first} near the {rng.choice(['bridge', 'market', 'station', 'church', 'school'])}.",
        f"They talked about {rng.choice(['the garden', 'the old days', 'the children', 'the weather', 'a new shop'])} and drank {rng.choice(['tea', 'coffee', 'hot soup'])}.",
    ]
    picked = sorted(rng.sample(range(len(middle)), rng.randint(4, 7)))
    end = rng.choice([f"In the evening {r.first} sat by the fire and felt better.", "It had been a good day.",
                      f"That night {r.he} slept well.", "Then the lights went out and the ward was quiet.",
                      f"{r.first} wrote a letter to {r.his} sister and went to bed."])
    return [(None, f"{weather} in {rng.choice(MONTHS)}. " + " ".join(middle[i] for i in picked) + " " + end)]


def passages(path):
    """Shakespeare in passages of some 20 lines that begin and end between speeches."""
    speeches = [s.strip() for s in open(path, encoding="utf-8").read().split("\n\n") if s.strip()]
    made, lines = [], []
    for speech in speeches:
        lines.append(speech)
        if sum(s.count("\n") + 2 for s in lines) >= 24:
            made.append("\n\n".join(lines))
            lines = []
    return made


def drama(rng, plays):
    text = rng.choice(plays)
    if rng.random() < 0.06:
        short = text[: text.rfind("\n\n", 0, 420) if text.rfind("\n\n", 0, 420) > 80 else 420]
        return [("user", typed(rng, rng.choice(["Recite some Shakespeare.", "Quote Shakespeare.",
                                                "Write some lines like Shakespeare."]))), ("assistant", short)]
    return [(None, text)]


# Kind, and the share of documents that are of it; shares of tokens are printed by prepare.py.
KINDS = [(note_dialogue, 29), (general_dialogue, 42), (small_talk_dialogue, 5), (writing_dialogue, 9),
         (sparse_dialogue, 5), (leaflet, 4), (plain_questions, 3), (plain_note, 5), (story, 5),
         (list_dialogue, 14), (register, 6)]
SYSTEM = ["You are a helpful assistant.", "You are Ward, a small assistant for clinic notes.", "Answer briefly.",
          "Answer the questions of the user."]


def document(rng, plays, drama_share=0.065):
    """One document and the name of its kind."""
    if plays and rng.random() < drama_share:
        return "drama", drama(rng, plays)
    kind = rng.choices([k for k, _ in KINDS], [w for _, w in KINDS])[0]
    turns = kind(rng)
    if turns[0][0] == "user" and rng.random() < 0.08:
        turns = [("system", rng.choice(SYSTEM))] + turns
    return kind.__name__, turns


def rendered(turns):
    """The document as the chat template writes it; plain text stands between begin and end."""
    if turns[0][0] is None:
        return f"<|begin|>{turns[0][1]}<|end|>"
    return "<|begin|>" + "".join(f"<|{role}|>\n{text}<|end|>\n" for role, text in turns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    if arguments.documents:
        for _ in range(arguments.documents):
            print(rendered(document(generator, [], 0)[1]), end="")
    else:
        for kind, _ in KINDS:
            for _ in range(2):
                print(f"--- {kind.__name__}")
                for role, text in kind(generator):
                    print(f"[{role or 'text'}] {text}")
