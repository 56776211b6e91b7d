"""Presents, food and wishes. The format is that of `shapes.py`."""

from __future__ import annotations

PLOTS = """
== secret_present: A=child B=family gift color
@meet

Tomorrow was the birthday of {B}, and {A} had no present.
{A} wanted to give {B} a present, but {he} had no money.

"I can make something," {A} thought.
Then {he} had a good idea. "I will make it myself," {he} said.

{A} found some {color} paint and began to make a {gift}.
{He} worked hard in {his} room to make a {color} {gift}.

"What are you doing in there?" asked {B}. "It is a secret," said {A}.
{B} knocked on the door. "Do not come in!" called {A}.

--
It was not easy, but {A} did not stop.
{A} made a mistake and had to start again.

At last the {gift} was done. {A} put it in a box with a ribbon.
When the {gift} was done, {he} hid it under {his} bed.

The next day {A} gave the box to {B}. "Happy birthday!" {he} said.
In the morning {A} ran to {B} with the present. "This is for you," {he} said.

{B} opened the box and saw the {gift}.
{B} found the {gift} and could not believe it.

"This is the best present of all," said {B}. "Did you make it yourself?"
"It is so beautiful!" said {B}. {B.He} hugged {A}.

@proud

@end

== birthday_toy: A=child B=friend thing=toy color
@meet

Today was a big day. It was the birthday of {A}!
{A} woke up early because it was {his} birthday.

Mom [baked|made] a cake with {color} candles on it.
There were {color} balloons all over the house.

Many friends came, but {B} was not there.
The party began, but {his} best friend {B} did not come.

{A} looked out of the window again and again.
{A} was {sad} because {he} missed {B}.

--
Then there was a knock at the door. It was {B}!
At last the bell rang, and there stood {B}.

"I am sorry I am late," said {B}. "I had to wrap your present."
"I ran all the way," said {B}. "Happy birthday!"

{A} opened the box. Inside was a [little|shiny|new] {thing}.
{B} gave {A} a box, and in it was a {thing}.

"A {thing}! I always wanted one!" said {A}.
"I love this {thing}!" said {A}.

Then they all [sang a song|played games] and ate cake.
{A} blew out the candles and made a wish.

@thanks

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

== picnic: A=child B=friend treat place=outdoors
@meet

One {sunny} {day} {A} and {his} friend {B} had a picnic {place.at}.
"Let us have a picnic {place.at}," said {A} to {his} friend {B}.

?@weather

They took a blanket, some juice and a big {treat} for each.
{A} packed a basket with juice and two big pieces of cake.

{B} put the blanket on the grass, and they sat down.
They found a nice spot and sat down on the blanket.

But when {A} opened the basket, all the food was gone!
But then {A} went to get the basket. It was empty!

--
"Who took our food?" asked {B}.
"Where is our lunch?" cried {A}.

Then they saw a long line of ants.
They heard a noise behind them. It was a little dog!

"They must have been very hungry," said {A}, and {B} began to laugh.
{B} was {angry} at first, but then {B.he} had to laugh.

{A} looked in {his} pocket. There was one {treat} left.
"Wait," said {A}. "I still have one {treat} in my bag."

{He} broke the {treat} in two and gave half to {B}.
They shared the {treat}, and it was the best {treat} ever.

Then they lay on the grass and watched the clouds.
After that, they played ball until it was time to go home.

@friends

== apple_picking: A=child B=family dish color
@meet

In autumn {A} and {B} went to pick apples.
One {sunny} {day} {A} helped {B} to pick apples.

?@weather

{A} had a {color} basket, and {B} had a ladder.
{B} carried the ladder, and {A} carried a {color} basket.

{A} wanted to get the biggest apple at the very top.
High up in the tree was a big, shiny apple.

"That one is too high," said {B}. "Please stay here."
"Be careful," said {B}. "Do not climb so high."

But {A} climbed up, and then {he} could not get down.
{A} did not listen. {He} climbed up and got stuck.

--
"Help me, {B}!" cried {A}. {He} was very {scared}.
{A} looked down. "It is so high!" {he} cried.

"Hold on tight," said {B}. "I am coming."
{B} climbed up the ladder and took {his} hand.

Soon {A} was safe on the ground again.
Slowly they climbed down together.

"I am sorry," said {A}. "I will listen next time."
"Next time I will listen to you," said {A}.

They filled the basket with apples from the ground.
The basket was soon full of sweet apples.

At home they made a big apple {dish}.
{B} made a {dish} with the apples, and {A} ate two pieces.

@end

== star_wish: A=child B=family thing=toy
@meet

One night {A} and {B} sat outside and looked at the stars.
It was a clear night. {A} and {B} were lying on the grass.

Suddenly a star fell from the sky.
"Look, a falling star!" said {B}.

"Make a wish," said {B}, "but do not tell anyone."
"Now you can make a wish," said {B}.

{A} closed {his} eyes. {He} did not wish for a {thing}.
{A} thought for a long time. {He} could wish for a {thing} or a pony.

--
"What did you wish for?" asked {B}. "Was it a {thing}?"
"I think I know your wish," said {B}. "You want a {thing}."

{A} shook {his} head and smiled. "It is a secret," {he} said.
"No, not a {thing}," said {A}. {He} took the hand of {B}.

The next {day} {B} had no work and stayed at home.
In the morning {B} said, "Today I have time for you."

They played games, went for a walk and ate pancakes.
They spent the whole day together.

"My wish came true," whispered {A}. "I wished for a day with you."
In the evening {A} said, "That was my wish. A day with you!"

{B} held {A} close. "That was my wish too," {B.he} said.
{B} had tears in {B.his} eyes and kissed {A}.

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
