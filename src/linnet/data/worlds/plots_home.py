"""Plots in and around the house: growing, baking, promising, telling the truth. The format is that of `shapes.py`."""

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

== baking: A=child B=family dish color
@meet

One rainy {day} {A} and {B} wanted to make a {dish}.
"Today we will make a {dish}," said {B}. {A} was very {happy}.

{A} put on a {color} apron and washed {his} hands.
{B} took out a big {color} bowl, and {A} got a spoon.

They mixed flour, milk and eggs.
{B} opened the flour, and {A} broke the eggs.

Oh no! {A} dropped the bag, and flour was all over the floor.
But {A} was too fast, and the milk fell over.

"I made a big mess," said {A}. {He} wanted to cry.
{A} looked at the mess and felt {sad}. "I am sorry," {he} said.

--
"That can happen," said {B}. "We will clean it up together."
{B} only laughed. "Even the best cooks spill things," {B.he} said.

They wiped the floor and tried again.
So they cleaned the kitchen and started again.

Then the {dish} went into the hot oven.
{B} put the {dish} in the oven, and they waited.

Soon the whole house smelled {good}.
After an hour the {dish} was ready. It smelled so {good}!

{A} took a big bite. "This is the best {dish} in the world!" {he} said.
They sat down and ate the warm {dish} with cream.

"You are a great cook," said {B}.
{B} kissed {A} on the nose. There was still flour on it.

@end

== dark_room: A=child B=family place=room thing=toy
@meet

One evening {A} wanted {his} {thing}, but it was {place.at}.
It was late, and {A} had left {his} {thing} {place.at}.

It was very dark there, and {A} was {scared}.
{A} did not like {place} because it was so dark.

"Can you get my {thing} for me?" {he} asked {B}.
"{B}, I am {scared} of the dark," said {A}.

"You can do it," said {B}. "Take this lamp."
{B} gave {him} a little lamp. "The dark cannot hurt you," {B.he} said.

--
Step by step {A} went to {place}. {His} heart beat fast.
{A} took a deep breath and walked to {place}.

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

{He} played {place.at} all {day}.
It was so much fun {place.at} that {he} forgot the time.

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

== sick_friend: A=child B=child color
@meet

@friend

One {day} {B} did not come to school.
One {day} {B} did not come out to play.

"{B} is sick and must stay in bed," said the teacher.
"{B} has a bad cold," said Mom.

{A} was {sad}. {He} wanted to do something nice.
"I want to make {B} feel better," said {A}.

--
So {A} made a {color} card and cooked some soup.
{A} picked some {color} flowers and put soup in a pot.

Then {he} went to see {B}. "I brought you something," said {A}.
{He} carried everything to the house of {B} and knocked.

{B} was lying in bed with a red nose.
{B} looked very tired and pale.

When {B} saw the {color} present, {B.he} smiled.
"That is my favorite color," said {B}. "I love {color} things."

{A} read {B} a funny story, and {B} ate all the soup.
They played a quiet game, and {B} ate the warm soup.

A few days later {B} was well again.
Soon {B} was strong and healthy again.

"Your soup made me well," said {B}.
"You are the best doctor," said {B}.

@friends

== broken_vase: A=child B=family color
@meet

On the table stood a {color} vase. {B} loved it very much.
{B} had a beautiful {color} vase with flowers in it.

One {day} {A} was playing with a ball in the house.
"Do not run in the house," said {B}, but {A} ran anyway.

Crash! The {color} vase fell down and broke.
{He} hit the table, and the {color} vase broke.

{A} was very {scared}. {He} hid the pieces under the rug.
{A} wanted to run away. "Maybe nobody will see it," {he} thought.

--
"Where is my vase?" asked {B}. "Did the cat break it?"
{B} came home and looked around. "What happened to my vase?" {B.he} asked.

{A} wanted to say nothing, but {his} heart was heavy.
For a moment {A} did not speak. {His} face got hot.

"It was me," said {A}. "I am so sorry."
Then {he} began to cry. "I broke it, and I am sorry," {he} said.

{B} was quiet for a while. Then {B.he} hugged {A}.
{B} sat down next to {A} and took {his} hand.

"I am {sad} about the vase," said {B}, "but I am glad that you told me."
"A vase is only a vase," said {B}. "The truth is worth much more."

{A} painted a new {color} vase for {B}.
Together they glued the {color} vase. It looked funny but nice.

@lesson_truth

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

== paint_spill: A=child B=family color
@meet

{A} wanted to paint a picture for {B}.
Tomorrow {B} was coming to visit, and {A} painted a picture.

{He} painted a house, a tree and a big sun.
{He} painted a garden with many flowers.

Then {his} arm hit the cup. A big {color} spot was on the picture!
But a drop of {color} paint fell right in the middle.

"Now it is ruined!" cried {A}.
@cry

{He} wanted to throw the picture away.
{A} was {angry} and pushed the paper off the table.

--
Then {he} looked at the {color} spot again.
But when {he} looked closer, the {color} spot had a funny shape.

"It looks like a bird," {A} thought.
"It could be a fish," {he} said.

{A} painted two eyes and a tail on it.
{He} took a small brush and gave it a smile.

Now there was a funny {color} animal in the picture.
The {color} spot was the best part of the picture now.

When {B} saw it, {B.he} laughed. "What a wonderful picture!" said {B}.
"I love it," said {B}. "Most of all I love the {color} animal."

{B} hung it on the wall for everyone to see.
{A} was very proud, and {B} put the picture over the bed.

@end

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

== letter: A=child B=family
@meet

{B} was far away, and {A} missed {B.him} very much.
{A} had not seen {B} for a long time.

"I will write a letter," said {A}.
So {A} took a pen and some paper.

"Dear {B}, I miss you," {he} wrote.
{He} wrote about school and drew a big heart.

{A} put the letter in the mailbox and waited.
Then {he} took the letter to the post office.

--
One day went by, then two, then three, but no answer came.
Every morning {A} looked in the mailbox, but it was empty.

@cry

"Maybe {B} forgot me," {A} thought.
"Did my letter get lost?" {A} asked.

Then one {day} there was a knock at the door.
On Sunday the bell rang, and {A} opened the door.

It was {B}! {B.He} had the letter in {B.his} hand.
There stood {B} with a big bag!

"I got your letter and came at once," said {B}.
"Your letter was so nice that I wanted to see you," said {B}.

{A} jumped into the arms of {B}.
They hugged for a long, long time.

@end
"""
