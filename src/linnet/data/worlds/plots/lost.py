"""Lost and found: toys, treasures, pets, the way home. The format is that of `shapes.py`."""

from __future__ import annotations

PLOTS = """
== lost_toy: A=child B=friend thing=toy color place=outdoors spot=outside
@meet

{A} had a {color} {thing} and took it everywhere.
{His} favorite toy was a {color} {thing}.
{A} loved {his} {color} {thing} more than any other toy.

One {sunny} {day} {A} took the {thing} to {place}.
One {day} {A} went to {place} with the {thing}.

?@weather

{He} played and ran, and then the {thing} was gone!
After a while {A} looked around, but the {thing} was gone.
But when it was time to go home, {he} could not find the {thing}.

@cry

--
Then {A} saw {his} friend {B}.
{His} friend {B} came by and stopped.

"What is wrong?" asked {B}. "I lost my {thing}," said {A}.
"Why are you so {sad}?" asked {B}. "My {thing} is gone," said {A}.

"Do not worry," said {B}. "We will look for it together."
"I will help you find it," said {B}.

They looked high and low. At last {B} found the {thing} {spot}.
They looked everywhere. Then {A} saw something {spot}. It was the {thing}!
{B} looked {spot}. "Here is your {thing}!" {B.he} [called|shouted].

@thanks

@friends

== lost_at_home: A=child B=family thing=wear color spot=inside
@meet

It was a cold {day}, and {A} wanted to play outside.
{A} wanted to go out into the cold wind.

{He} needed {his} {color} {thing}, but it was not there.
But {he} could not find {his} {color} {thing}.

"{B}, where is my {thing}?" asked {A}.
"Have you seen my {thing}, {B}?" asked {A}.

"I do not know where it is," said {B}. "Let us look for it."
"I have not seen it," said {B}. "Where did you have it last?"
"Look in your room," said {B}. {A} looked, but it was not there.

--
{A} looked [on the shelf|in the big box] and [behind the lamp|near the stairs]. The {thing} was not there.
{He} searched in every room, but there was no {thing}.
{A} opened every box, but the {thing} was not in them.

@cry

Then {he} looked {spot}. There was the {thing}!
At last {B} looked {spot} and found the {thing}.

"I will always put my {thing} away now," said {A}.
"Next time I will hang it up," said {A}.
{B} laughed. "Put it away next time," {B.he} said.

Then {A} put on the {thing} and ran outside.
{A} put it on and went out to play.

@end

== borrowed: A=child B=friend thing=treasure color
@meet

@friend

{B} had a {color} {thing} that was very dear to {B.him}.
The greatest treasure of {B} was a {color} {thing}.

"May I borrow your {thing} for one day?" asked {A}.
"Can I take the {thing} home to show Mom?" asked {A}.

"Yes, but please be careful with it," said {B}.
"Yes," said {B}. "But promise to bring it back."

"I promise," said {A}.
{A} promised and put the {thing} in {his} pocket.

--
But on the way home the {thing} fell out of {his} pocket.
But there was a hole in the pocket, and the {thing} fell out.

That evening {A} could not find it. {He} felt [sick|terrible].
When {A} got home, the pocket was empty. {He} was very {scared}.

{A} took a lamp and walked back the same way.
{He} went back and looked at every step of the road.

Then something shone in the light. It was the {thing}!
At last {he} saw the {thing} in the grass.

The next day {A} gave the {thing} back and told {B} everything.
{A} brought the {thing} back to {B} and told {B.him} what had happened.

"Thank you for keeping your promise," said {B}.
"You told me the truth," said {B}. "You are a good friend."

@lesson_truth

== found_treasure: A=child B=friend thing=treasure color place=outdoors
@meet

One {day} {A} was walking {place.at}.
One {sunny} {day} {A} went for a walk to {place}.

?@weather

There {he} saw something [small|shiny] on the ground. It was a {color} {thing}.
{A} looked down and found a {color} {thing}.

"How pretty!" said {A}. "I want to keep it."
{A} picked it up. "What a pretty {thing}!" {he} said.

Then {he} heard someone cry. It was a {B.kind} named {B}. {B} was very {sad}.
Not far away sat a {B.kind} named {B}. {B} was crying.

--
"What is the matter?" asked {A}. "I lost my {thing}," said {B}.
"Why are you crying?" asked {A}. "I cannot find my {thing}," said {B}.

{A} held the {thing} in {his} hand. {He} wanted to keep it, but it was not right.
For a moment {A} said nothing. Then {he} opened {his} hand.

"Is this your {thing}?" asked {A}.
"I found it," said {A}. "Here is your {thing}."

"Oh, thank you!" said {B}. "My grandma gave it to me."
{B} jumped up and hugged {A}. "You found it!" {B.he} cried.

It felt good to do the right thing.
{A} was {happy} that {he} gave it back.

@friends

== lost_pet: A=child B=pet place=outdoors
@meet

@pet

One {day} the door was open, and {B} ran away.
One {day} they went for a walk, and {B} ran after a bird.

"{B}, where are you?" called {A}, but nobody answered.
{A} called and called, but {B} did not come back.

@cry

--
{He} looked in the street and behind the house, but {B} was not there.
{A} asked all the neighbors, but they had not seen the {B.kind}.

Then {he} had an idea. "{B} loves to play {place.at}," {he} said.
"Maybe {B} went to {place}," {A} thought.

{A} ran there as fast as {he} could.
{He} took some food and went there.

There {he} heard a soft sound. It was {B}!
And there was {B}, wet and dirty, but safe!

{B} jumped into the arms of {A}.
The {B.kind} was so {happy} to see {A}.

"Never run away again," said {A}. "I missed you so much."
"I was so {scared}," said {A}. "Let us go home now."

At home {A} gave {B} a bath and a big dinner.
That night {B} slept at the foot of the bed.

@end

== stray_baby: A=child B=friend baby color place=outdoors
@meet

On the way home from {place} {A} heard a soft cry.
One {day} {A} was walking {place.at} when {he} heard a noise.

A little {baby} sat there all alone. It had a {color} ribbon.
Behind a bush {he} found a {baby} with a {color} ribbon.

"Are you lost?" asked {A}. The {baby} looked at {him} with big eyes.
The {baby} was cold and hungry. {A} picked it up.

{A} gave it some water and wanted to keep it.
"I would love to keep you," {A} said, "but someone must be missing you."

--
The next day {he} saw {B}, a {B.kind} who was very {sad}.
Then a {B.kind} named {B} came down the road. {B} was crying.

"I have lost my {baby}," said {B}.
"Have you seen my {baby}?" asked {B}.

"Does it have a ribbon?" asked {A}. "Yes!" cried {B}.
"It wears a ribbon," said {B}. {A} smiled.

{A} brought the {baby}, and it ran to {B} at once.
{A} opened {his} coat, and there was the {baby}.

"Thank you for taking care of it," said {B}.
{B} laughed and cried at the same time. "Thank you, {A}!" {B.he} said.

"You can visit us every day," said {B}.
"Come and play with us whenever you want," said {B}.

@friends

== lost_in_forest: A=child B=pet color
@meet

@pet

One {day} they went into the forest to look for mushrooms.
One {sunny} {day} they followed a butterfly deep into the forest.

{A} wore a {color} sweater with a hole in it.
{A} had a {color} sweater on because it was cold there.

They walked and walked, and it got dark.
Soon all the trees looked the same.

"We are lost," said {A}. {He} was very {scared}.
{A} looked around. "Which way is home?" {he} asked.

--
{B} pulled at the sweater. There was a long thread!
Then {A} saw a thread on a bush. It came from {his} sweater.

"Good {B.kind}!" said {A}. "We can follow the thread."
"The thread will show us the way!" said {A}.

{B} walked in front with {B.his} nose on the ground.
They followed the thread from tree to tree.

Soon they saw the lights of the village.
At last they came out of the forest and saw their house.

Mom was waiting at the door. She hugged them both.
Dad ran to them. "There you are!" he said.

"{B} is a hero," said {A}.
{A} gave {B} a big dinner and a hug.

@end
"""
