"""Plots under the sky: weather, games, skills, small adventures. The format is that of `shapes.py`."""

from __future__ import annotations

PLOTS = """
== first_day: A=child B=child color
@meet

It was the first day of school, and {A} was {scared}.
Today {A} went to school for the first time.

{He} had a new {color} bag and new shoes.
Mom gave {him} a {color} bag with a sandwich in it.

"What if nobody likes me?" asked {A}.
{A} held the hand of Mom very tight.

In the classroom there were so many children.
The school was big and loud.

--
{A} sat down alone and looked at {his} {color} bag.
At lunch {A} sat alone at a table.

Then a {B.kind} sat down next to {him}. "I am {B}," {B.he} said.
A {B.kind} came to {him}. "My name is {B}," {B.he} said.

"I like your {color} bag," said {B}. "Mine is the same!"
"You have a {color} bag like me!" said {B}.

"Are you new here too?" asked {A}. "Yes," said {B}. "I was {scared} this morning."
{A} smiled. "Do you want half of my sandwich?" {he} asked.

They shared lunch and played in the yard.
After that, they drew pictures and sang songs together.

"School is fun," {A} told Mom in the evening.
When Mom came, {A} did not want to go home.

@friends

== hide_and_seek: A=child B=child place=outdoors spot=outside
@meet

@friend

One {day} they played hide and seek {place.at}.
"Let us play hide and seek {place.at}," said {A} one {day}.

?@weather

{A} closed {his} eyes and counted to ten.
"One, two, three," counted {A}, and {B} ran away to hide.

"Here I come!" called {A}.
"I will find you!" {A} shouted.

{He} looked up and down, but {he} could not find {B}.
{A} walked around and around, but {B} was not there.

--
The sun went down, and {A} got worried.
It got late, and {A} was a little {scared}.

"You can come out now!" called {A}, but nobody answered.
"{B}, you win!" {A} called. It was very quiet.

Then {he} heard a funny sound. Someone was snoring!
Then {A} heard a soft noise and went closer.

{B} was lying {spot} and sleeping.
There was {B}, fast asleep {spot}!

"Wake up, {B}!" laughed {A}.
{A} gently shook {B}. "The game is over," {he} said.

"Did I win?" asked {B}. "Yes," said {A}, "you are the best at hiding."
{B} rubbed {B.his} eyes. "It was so cozy there," {B.he} said.

@friends

== puddles: A=child B=child thing=wear color
@meet

It rained and rained, and {A} had to stay inside.
All {day} the rain fell on the roof.

{A} looked out of the window and was {sad}.
"I want to play outside," said {A}. "Rain is no fun."

Then there was a knock. It was {his} friend {B}.
Just then {his} friend {B} came to the door.

{B} wore a {color} {thing} and big boots.
{B} was all wet and had a {color} {thing} on.

"Come out!" said {B}. "Rain is the best weather for puddles."
"Let us jump in the puddles!" said {B}.

--
{A} put on {his} boots and ran outside.
So {A} got {his} boots and followed {B}.

Splash! They jumped into a big puddle.
They jumped and splashed, and water flew everywhere.

The wind took the {color} {thing} and blew it into a puddle.
Then the {color} {thing} fell into the mud.

{A} fished it out with a stick. "Here is your {thing}," {he} said.
"Your {thing} looks funny now," laughed {A}.

When the rain stopped, there was a big rainbow.
Then the sun came out, and they saw a rainbow.

"Now I love the rain," said {A}.
"I hope it rains tomorrow," said {A}.

@friends

== snowman: A=child B=child thing=wear color
@meet

In the morning everything was white. It had snowed all night!
{A} woke up and saw snow on the roofs and trees.

{A} ran outside and called {his} friend {B}.
"Come out, {B}!" called {A}. {B} lived next door.

They rolled a big ball, then a smaller one, and then a tiny one.
They worked all morning to make a big snowman.

He got two stones for eyes and a carrot for a nose.
They gave him a carrot nose and a mouth made of stones.

"He looks cold," said {B}. "He needs some clothes."
"Something is missing," said {A}.

{A} took off {his} {color} {thing} and gave it to the snowman.
{A} ran home and got an old {color} {thing} for him.

--
A few days later the sun was warm, and the snowman got smaller.
Then it got warm, and the snow began to melt.

One {day} only the {color} {thing} was left on the grass.
Soon there was no snowman, only a puddle and the {color} {thing}.

"Our snowman is gone," said {A}. {He} was very {sad}.
@cry

"He will come back next winter," said {B}.
"Do not be {sad}," said {B}. "We will make a new one next year."

{A} kept the {color} {thing} in a safe place for him.
So {A} washed the {thing} and put it away until the next winter.

And the next winter they made an even bigger snowman.
When the snow came back, they built two snowmen.

@friends

== picnic: A=child B=child treat place=outdoors
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

== sandcastle: A=child B=child color
@meet

One {sunny} {day} {A} went to the beach with a {color} bucket.
{A} was at the beach with a {color} bucket and a spade.

?@weather

{He} built a big castle with four towers.
{He} wanted to build the biggest castle in the world.

On the top {he} put a {color} flag.
{He} put shells on the walls and a {color} flag on the top.

Then a big wave came and washed the castle away.
But the sea came closer, and a wave hit the castle. Splash!

@cry

--
A {B.kind} named {B} saw what happened.
{B}, a {B.kind} with a spade, came over.

"The sea always takes castles," said {B}. "We can build a new one."
"Do not give up," said {B}. "I will help you build it again."

"You must build it away from the water," said {B}.
This time they went a little farther from the waves.

{A} carried sand in the {color} bucket, and {B} made the walls.
They dug a deep ditch, so the water could not reach it.

When the next wave came, the castle did not fall.
A wave came, and then one more, but the castle was safe.

{A} put the {color} flag back on the top.
They found the {color} flag and put it on the new castle.

@lesson_try

@friends

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
{B} pulled at the {color} sweater. There was a long thread!
Then {A} saw a {color} thread on a bush. It came from {his} sweater.

"Good {B.kind}!" said {A}. "We can follow the thread."
"The thread will show us the way!" said {A}.

{B} walked in front with {B.his} nose on the ground.
They followed the {color} thread from tree to tree.

Soon they saw the lights of the village.
At last they came out of the forest and saw their house.

Mom was waiting at the door. She hugged them both.
Dad ran to them. "There you are!" he said.

"{B} is a hero," said {A}.
{A} gave {B} a big dinner and a hug.

@end

== rainbow_gold: A=child B=child color
@meet

@friend

After the rain there was a big rainbow in the sky.
One {day} they saw a rainbow behind the hill.

"There is gold at the end of it," said {B}.
"Let us find the end of the rainbow!" said {A}.

They took a {color} bag for the gold and began to walk.
{A} carried a {color} bag, and off they went.

They went over a bridge, through a field and up a hill.
They walked for a long time, but the rainbow was still far away.

--
Then the sun went behind a cloud, and the rainbow was gone.
When they got to the top, there was no rainbow anymore.

"Now we will never find the gold," said {A}. {He} was {sad}.
{A} sat down on a stone. "We came all this way for nothing," {he} said.

But {B} pointed at the field. It was full of yellow flowers!
"Look down there!" said {B}. The whole field shone like gold.

"We found our gold!" laughed {A}.
It was the most beautiful thing they had ever seen.

They put flowers in the {color} bag and took them home.
They filled the {color} bag with sweet berries instead.

@friends

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

== treasure_map: A=child B=child thing=treasure color place=room
@meet

One rainy {day} {A} found an old map {place.at}.
{A} was looking for a book {place.at} and found an old map.

There was a {color} cross on the map.
In the middle of the map was a {color} cross.

{He} showed it to {his} friend {B}. "It is a treasure map!" said {B}.
"We must find the treasure!" said {A} to {his} friend {B}.

They took ten steps to the left and five steps to the right.
They followed the map past the well and over the fence.

Under the old apple tree they saw a {color} stone.
At the end of the garden stood a {color} post.

--
"We must dig here," said {B}.
"This is the place!" said {A}.

They dug and dug until their arms were tired.
{A} dug first, and then it was the turn of {B}.

At last they found a little box.
Clonk! There was a box in the ground.

In the box was a {thing} and a letter.
{A} opened it slowly. There was a {thing} in it.

"I hid this {thing} when I was little," said Grandpa. "Now it is yours."
Grandma laughed. "That is my old {thing}," she said. "You can keep it."

@joy

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

They filled the {color} basket with apples from the ground.
The {color} basket was soon full of sweet apples.

At home they made a big apple {dish}.
{B} made a {dish} with the apples, and {A} ate two pieces.

@end

== bridge: A=child B=child place=outdoors
@meet

@friend

One {day} they wanted to go to {place}.
"Let us go to {place}!" said {B} one {sunny} {day}.

On the way there was an old bridge made of rope.
But first they had to cross a long, thin bridge.

{B} ran across, but {A} stood still.
The bridge moved in the wind, and {A} was {scared}.

"I cannot do it," said {A}. {His} knees were shaking.
"I want to go home," said {A}.

--
{B} came back. "I was {scared} too the first time," {B.he} said.
{B} did not laugh. "We will do it together," {B.he} said.

"Look at me and not at the water," said {B}.
"Hold my hand and count your steps," said {B}.

One step, two steps, three steps. {A} did not look down.
{A} took a deep breath and made the first step.

And then they were on the other side!
Soon {A} felt the grass under {his} feet.

@proud

They played {place.at} all {day}, and on the way back {A} went first.
They had so much fun {place.at} that they stayed until dinner.

@lesson_brave

== tree_house: A=child B=child color
@meet

{A} and {his} friend {B} wanted to build a tree house.
"Let us build a tree house!" said {A} to {his} friend {B}.

Dad gave them some wood and a hammer.
They found some old wood behind the barn.

{A} wanted to paint it {color}, but {B} did not like {color}.
"It must be {color}," said {A}. "No, not {color}!" said {B}.

They were so {angry} that they stopped working.
{B} threw down the hammer and went home.

--
That night it rained, and the wood got wet.
The next day {A} tried to build alone, but it was too hard.

"We need each other," {A} thought.
{A} missed {B}. The work was no fun alone.

{He} went to {B} and said, "You can choose the color."
"I am sorry," {A} told {B}. "We can find a way."

"Let us paint the door {color} and the roof in two colors," said {B}.
"One wall can be {color}, and one can be how I like it," said {B}.

They worked until the last nail was in.
A week later the tree house was ready.

It was the nicest tree house in the village.
They sat in their {color} tree house and ate cookies.

@friends
"""
