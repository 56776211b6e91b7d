"""Growing up: waiting, practising, keeping a promise, being brave. The format is that of `shapes.py`."""

from __future__ import annotations

PLOTS = """
== seed: A=child B=family plant
@meet

One {day} {B} gave {A} a tiny seed.
In spring {B} put a little seed in the hand of {A}.

"What will it be?" asked {A}. "A {plant}," said {B}, "if you take care of it."
"This seed will become a {plant}," said {B}.

{A} made a hole in the ground and put the seed in it.
Together they planted the seed in a pot.

Every morning {A} gave it water, but nothing happened.
{A} watered it every day. {He} waited and waited.

"Why does it not grow?" asked {A}. {He} was {sad}.
{A} was {sad}. "My {plant} does not want to grow," {he} said.

--
"Good things take time," said {B}. "You must wait."
"Wait a little longer," said {B}. "Seeds need time."

Then one {day} {A} saw something small and green.
One {sunny} {day} there was a tiny green leaf.

"It is growing!" {A} shouted. {He} ran to tell {B}.
"Look, {B}!" called {A}. "My {plant} is growing!"

The {plant} grew taller and taller every day.
The rain fell, the sun shone, and the {plant} grew.

At the end of summer it was the biggest {plant} in the street.
Soon {A} had the most beautiful {plant} in the village.

"You were very patient," said {B}.
"I am proud of you," said {B}.

@end

== dark_room: A=child B=family place=room thing=toy
@meet

One evening {A} wanted {his} {thing}, but it was {place.at}.
It was late, and {A} had left {his} {thing} {place.at}.

It was very dark there, and {A} was {scared}.
{A} did not want to go because it was so dark.

"Can you get my {thing} for me?" {he} asked {B}.
"{B}, I am {scared} of the dark," said {A}.

"You can do it," said {B}. "Take this lamp."
{B} gave {him} a little lamp. "The dark cannot hurt you," {B.he} said.

--
Step by step {A} went into the dark. {His} heart beat fast.
{A} took a deep breath and went in.

Something was moving! {A} stood very still.
Then {he} saw two eyes in the dark.

{A} held up the lamp. It was only the cat!
But it was just a little mouse, and it ran away.

{A} laughed. {He} took the {thing} and walked back.
"You scared me," {A} laughed. Then {he} picked up the {thing}.

"I was not {scared} at all," {A} told {B}. "Well, maybe a little."
"Here is my {thing}!" said {A}. "I got it all alone."

"That was very brave," said {B}.
{B} gave {A} a big hug. "I knew you could do it," {B.he} said.

@lesson_brave

== forgotten_promise: A=child B=family job place=outdoors
@meet

"Can you {job} today?" asked {B}. "Yes, I promise," said {A}.
One {day} {A} promised {B} to {job}.

But the sun was shining, and {A} wanted to play.
But then {his} friends came and asked {him} to play.

"I can do it later," {A} thought. {He} went to {place}.
{A} forgot all about it and ran to {place}.

{He} played there all {day}.
It was so much fun that {he} forgot the time.

--
In the evening {A} remembered the promise.
When {he} came home, {he} saw the tired face of {B}.

"You did not {job}," said {B}. {B.He} was {sad}.
"You made a promise," said {B}. "I trusted you."

{A} felt bad. "I am sorry," {he} said. "I will do it now."
{A} looked at the floor. "I forgot to {job}," {he} said. "I am sorry."

{He} began to {job}. It was hard work, but {he} did not stop.
{A} worked until it was dark, and {he} did it very well.

"Thank you," said {B}. "Now I can trust you again."
{B} looked at the work and smiled. "Well done," {B.he} said.

After that, {A} always kept {his} promises.
From then on, {A} did {his} work first and played later.

@end

== thunder: A=child B=pet
@meet

@pet

One night there was a big storm. The thunder was very loud.
One evening dark clouds came, and it began to rain and thunder.

{A} was {scared} and sat up in bed.
Boom! {A} hid under the blanket. {He} was {scared}.

Then {he} heard a soft cry under the bed. It was {B}!
But where was {B}? The {B.kind} was hiding under the bed.

--
"Are you {scared} too?" asked {A}.
"Poor {B}," said {A}. "You are shaking."

{A} forgot {his} own fear and took {B} in {his} arms.
{He} lay down on the floor and held {B} close.

"It is only noise," said {A}. "It cannot hurt us."
{A} sang a soft song, and {B} stopped shaking.

They counted the seconds between the light and the thunder.
{A} told {B} a story about the sun.

Slowly the thunder went away.
After a while the storm was over, and the stars came out.

{A} and {B} fell asleep side by side.
In the morning Mom found them both asleep on the floor.

@lesson_brave

== bedtime: A=child B=family book
@meet

It was late, but {A} could not sleep.
The moon was in the sky, and {A} was still awake.

{He} turned to the left and to the right.
{He} counted ten sheep, but it did not help.

"{B}, I cannot sleep," called {A}.
{A} went to {B} in {his} bare feet. "I am not tired," {he} said.

"I will read you a story," said {B}.
{B} took a book from the shelf.

--
It was a story about {book}.
"Do you want the story about {book}?" asked {B}. {A} nodded.

{B} read slowly and softly, page after page.
{A} put {his} head on the pillow and listened.

"One more page, please," said {A}.
"And what happened then?" asked {A}.

Soon {his} eyes got very heavy.
{A} gave a big yawn and closed {his} eyes.

"Good night, my dear," whispered {B}.
{B} turned off the light and kissed {him} good night.

That night {A} dreamed about {book}.
In {his} dream {A} met {book}.

{A} slept until the sun came up.
It was the best dream of all.
{B} looked in one more time and smiled.

== instrument: A=child B=family instrument
@meet

{A} got a {instrument} from {B}.
{B} had an old {instrument} and gave it to {A}.

{He} wanted to play a song at once, but it sounded terrible.
But when {A} tried to play, it only made a funny noise.

The cat ran away, and the dog began to howl.
Dad put his hands over his ears.

"I will never learn it," said {A}. {He} put the {instrument} away.
{A} was {angry}. "This {instrument} is too hard," {he} said.

--
"Nobody can do it on the first day," said {B}.
"Try a little every day," said {B}. "Then you will see."

So {A} practiced every evening after dinner.
{A} took out the {instrument} again and played one note at a time.

Some days were hard, but {he} did not stop.
Week after week it got a little better.

At last {he} could play a whole song.
Then one {day} {A} played a song without a mistake.

The family sat down and listened to the {instrument}.
{B} sat in the big chair and closed {B.his} eyes to listen.

"That was beautiful!" said {B}.
Everyone clapped, and {B} had tears in {B.his} eyes.

@proud

@lesson_try

== loose_tooth: A=child B=family treat
@meet

One {day} {A} took a bite of a {treat}. Ouch!
{A} was eating a {treat} when something felt strange.

"My tooth is loose!" said {A}.
One of {his} teeth was moving.

{A} was {scared}. "Will it hurt?" {he} asked {B}.
{He} ran to {B} and began to cry.

"Do not worry," said {B}. "Everyone loses baby teeth."
"That means you are getting big," said {B}.

--
All day {A} moved the tooth with {his} tongue.
{A} did not want to eat anything hard now.

Then {A} laughed at a joke, and the tooth fell out!
The next morning the tooth was lying on the pillow.

It did not hurt at all.
"It did not hurt!" said {A}.

{A} looked in the mirror. There was a big hole in {his} smile.
{He} ran to {B} and showed the hole.

That night {A} put the tooth under the pillow.
Before bed {A} put the tooth in a glass by the window.

In the morning there was a shiny coin.
When {he} woke up, the tooth was gone and there was a coin.

"Now I can eat my {treat}," {A} laughed.
{A} bought a big {treat} and shared it with {B}.

@end

== new_skill: A=child B=family skill
@meet

All {his} friends could {skill}, but {A} could not.
{A} wanted to learn to {skill}.

{He} tried once and it went wrong. {He} tried again and it went wrong.
The first time {he} tried, it did not work.

"I cannot do it," said {A}. {He} was very {sad}.
{A} was {angry}. "I will never learn to {skill}," {he} said.

--
"When I was little, I could not {skill} either," said {B}.
{B} sat down next to {him}. "I will teach you to {skill}," {B.he} said.

"Go slowly, and take your time," said {B}.
"First watch me," said {B}. "Then you try."

Every day they practiced a little.
They tried again and again until dinner.

{A} still made mistakes, but {he} laughed about them.
On the third day {A} did it for a few seconds.

Then one {day} it worked! {A} could {skill}!
And all at once {he} could {skill} all alone!

"Look at me, {B}!" shouted {A}.
@proud

"I knew you could do it," said {B}.
{B} clapped and cheered.

@lesson_try

@end
"""
