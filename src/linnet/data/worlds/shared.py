"""Beats that many plots share: meeting the hero, tears, comfort, thanks, endings. The format is that of `shapes.py`."""

from __future__ import annotations

SHARED = """
@meet
Once upon a time there was a [little|kind|cheerful] {kind} named {A}. {A} [loved to laugh|liked to help].
Once there was a [little|young|gentle] {kind} called {A}. {A} [was very curious|had a kind heart].
There was once a {kind} named {A}. {A} [loved to play|loved stories|liked to sing].
In a [small|quiet] [town|village|valley] lived a {kind} named {A}. Everyone liked {A}.
Not long ago there was a [little|happy|shy] {kind} named {A}. {A} lived in a [little|small|cozy] house.
This is a story about {A}. {A} was a [little|brave|clever] {kind}.
{A} was a [little|clever|friendly] {kind}. {A} had [a big smile|a kind heart|bright eyes].

@friend
{A} had a [good|dear] friend, a {B.kind} named {B}. {A} and {B} were always together.
{His} best friend was a {B.kind} called {B}. {B} was very funny.
{A}'s best friend was a [kind|cheerful] {B.kind} named {B}. {A} and {B} played every day.
Next door lived a {B.kind} named {B}. {B} was the best friend of {A}.

@pet
{A} had a [little|funny|fluffy] {B.kind} named {B}.
{A} lived with a [sweet|playful|fluffy] {B.kind} called {B}.
{His} best friend was a [clever|funny|little] {B.kind} named {B}.
{A} and a {B.kind} named {B} did everything together.

@weather
The sun was shining and the sky was blue.
The birds were singing in the trees.
A soft wind was blowing.
It was a {sunny} {day}.

@cry
{A} felt very {sad}.
{A} was so {sad} that {he} [began to cry|wanted to cry].
A [big|little] tear rolled down {A}'s cheek.
"Oh no!" cried {A}. {He} was very {sad}.

@comfort
"Do not [cry|be sad|worry], {A}," said {B}. "I will help you."
{B} [gave {A} a hug|sat down next to {A}]. "Do not worry," {B.he} said.
{B} saw that {A} was {sad}. "Can I help you?" asked {B}.
"Please do not cry," said {B}. "We will [think of something|find a way]."

@thanks
"Thank you[| so much], {B}!" said {A}.
{A} gave {B} a [big|warm] hug and said, "Thank you!"
"You are a [true|real|wonderful] friend," {A} told {B}.
{A} thanked {B} [with a big smile|again and again].

@joy
{A} was very {happy}.
{A} [jumped|danced|laughed] with joy.
{A} smiled from ear to ear.
"Hooray!" [cried|shouted] {A}.

@proud
{A} was very proud of {himself}.
{A} felt [proud and happy|ten feet tall].
"I did it!" [cried|shouted] {A}.

@end
It was a {lovely} day.
{A} never forgot that {lovely} day.
That night {A} fell asleep with a smile.
And {A} was {happy} for the rest of the day.
What a {lovely} day it was!

@friends
{A} and {B} were [best friends from then on|the best of friends after that].
From that day on, {A} and {B} [played together every day|always helped each other].
{A} and {B} stayed [good|best] friends forever.
After that, {A} and {B} were always {happy} to see each other.

@lesson_share
{A} learned that sharing makes [everyone|people] happy.
Now {A} knew that it is good to share.
Sharing made the {day} twice as much fun.

@lesson_try
{A} learned to never give up.
Now {A} knew that it is good to keep trying.
After that, {A} always tried one more time.

@lesson_truth
{A} learned that it is [best|good] to tell the truth.
After that, {A} always told the truth.
Now {A} knew that the truth makes the heart light.

@lesson_brave
After that, {A} was not so {scared} anymore.
Now {A} knew that {he} could be brave.
From that day on, {A} was a very brave {kind}.
"""
