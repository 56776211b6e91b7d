"""Plots of animals: in the forest, in the nest, on a lead. The format is that of `shapes.py`."""

from __future__ import annotations

PLOTS = """
== race: A=animal B=animal place=outdoors
@meet

@friend

One {day} there was a big race {place.at}.
One {sunny} {day} the animals held a race {place.at}.

?@weather

"I am the fastest of all," said {B}. "You will never win."
"You are too slow," laughed {B}. "I will win."

"I will do my best," said {A}.
{A} was not fast, but {he} wanted to try.

--
Ready, steady, go! {B} ran ahead like the wind.
The race began. Soon {B} was far ahead of {A}.

But {B} stopped to rest under a tree and fell asleep.
But {B} tripped over a root and hurt a leg.

{A} kept going, step by step.
{A} did not stop for one moment.

{A} saw {B} and stopped. "Come, we will finish together," said {A}.
When {A} came to {B}, {he} said, "Take my paw. Let us go on."

They reached the end side by side, and everyone cheered.
So they crossed the line together, and all the animals clapped.

"You could have won," said {B}. "You are a true friend."
"I am sorry I laughed at you," said {B}.

@friends

== storm_shelter: A=animal B=animal
@meet

{He} had a warm little house under an old tree.
{His} home was a cozy hole in the ground.

One {day} dark clouds came, and it began to rain hard.
One night there was a big storm with thunder and rain.

{A} sat by the fire and drank hot tea.
{A} was glad to be warm and dry.

Then {he} heard a knock. Outside stood a {B.kind} named {B}.
Knock, knock! At the door was a {B.kind} named {B}.

"My house is full of water," said {B}. {B.He} was wet and cold.
"May I come in?" asked {B}. "The wind blew my roof away."

--
"My house is very small," said {A}, "but there is room for two."
"Of course," said {A}. "Come in and get warm."

{A} gave {B} a blanket and a bowl of hot soup.
{B} sat down by the fire, and {A} made more tea.

They told stories until the storm was over.
They sang songs, and soon {B} was not cold anymore.

In the morning the sun came out, and {A} helped {B} to mend the house.
The next day they went out together to fix the home of {B}.

"I will never forget how kind you were," said {B}.
"When you need help, I will come too," said {B}.

@friends

== winter_food: A=animal B=animal fruit
@meet

All summer {A} gathered {fruit} for the winter.
Every day {A} picked {fruit} and put them in a safe place.

{His} friend {B} did not work. {B.He} slept in the sun.
"Come and play!" said {B}. "Winter is far away."

"I must fill my home first," said {A}.
"Winter will come soon," said {A}.

--
Then the snow fell, and everything was white and cold.
Then winter came, and the ground was hard as stone.

{B} had nothing to eat. {B.He} was very hungry.
{B} looked for food, but there was none under the snow.

{B} came to the door of {A}. "Please, can you give me some {fruit}?" asked {B}.
"I am so hungry," {B} said. "Do you have some {fruit} for me?"

{A} thought about it. There were not many {fruit}, but enough for two.
{A} looked at all the {fruit}. "I can share," {he} said.

"Come in," said {A}. "We will eat together."
{A} gave {B} a big bowl of {fruit}.

"Next summer I will work with you," said {B}.
"Thank you," said {B}. "Next year I will help you."

And so {B} did. The next summer they worked side by side.
When spring came, {B} was the first to start working.

@lesson_share

@friends

== fallen_bird: A=child B=family bird
@meet

One windy {day} {A} heard a soft sound in the yard.
One {day} {A} was playing under the big tree.

A baby {bird} was lying in the grass. It had fallen from its nest.
On the ground {he} saw a tiny {bird}. It could not fly.

"You poor little {bird}," said {A}.
"Do not be afraid, little {bird}," said {A}.

{A} ran to get {B}. "Come quickly!" {he} called.
{A} called {B}, and {B} came at once.

--
"The nest is up there," said {B}. "We need the ladder."
"Its mother is looking for it," said {B}. "We must be very gentle."

{B} held the ladder, and {A} carried the {bird} in {his} hands.
{A} put the {bird} in a soft cloth and gave it to {B}.

Carefully they put the {bird} back into its nest.
Then the little {bird} was home again with its brothers.

Soon the mother came with a worm and began to sing.
The mother {bird} sang a happy song.

"She is saying thank you," said {B}.
"Listen," {B} said. "That song is for you."

Every morning {A} looked up and waved at the nest.
A few weeks later {A} saw the {bird} fly for the first time.

@end

== stray_baby: A=child B=child baby color place=outdoors
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
The next day {he} saw a {B.kind} who was very {sad}.
Then a {B.kind} came down the road. {B.He} was crying.

"My name is {B}," said the {B.kind}. "I lost my {baby}."
"I am {B}," said the {B.kind}. "Have you seen a {baby}?"

"Does it have a {color} ribbon?" asked {A}. "Yes!" cried {B}.
"It wears a {color} ribbon," said {B}. {A} smiled.

{A} brought the {baby}, and it ran to {B} at once.
{A} opened {his} coat, and there was the {baby}.

"Thank you for taking care of it," said {B}.
{B} laughed and cried at the same time. "Thank you, {A}!" {B.he} said.

"You can visit us every day," said {B}.
"Come and play with us whenever you want," said {B}.

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

{A} ran to {place} as fast as {he} could.
{He} took some food and went to {place}.

There {he} heard a soft sound. It was {B}!
And there was {B}, wet and dirty, but safe!

{B} jumped into the arms of {A}.
The {B.kind} was so {happy} to see {A}.

"Never run away again," said {A}. "I missed you so much."
"I was so {scared}," said {A}. "Let us go home now."

At home {A} gave {B} a bath and a big dinner.
That night {B} slept at the foot of the bed.

@end

== noise_at_night: A=animal B=animal
@meet

One night {A} was lying in bed and could not sleep.
It was late, and {A} was ready for bed.

Then {he} heard a strange noise outside.
Suddenly there was a sound. Tap, tap, tap!

"Who is there?" whispered {A}. Nobody answered.
"Maybe it is a monster," thought {A}.

{A} was so {scared} that {he} hid under the blanket.
{He} pulled the blanket over {his} head and shook.

--
The noise came again. {A} took a deep breath and got up.
"I must be brave," {A} said. {He} took {his} lamp.

Slowly {he} opened the door and looked out.
{A} went to the window and held up the lamp.

It was only {his} friend {B}! {B.He} was looking for something.
There stood {his} friend {B} with a basket.

"What are you doing here so late?" asked {A}.
"{B}, it is you!" said {A}. "I thought you were a monster."

"I am sorry," said {B}. "I could not sleep, so I picked berries."
"I wanted to see the stars," said {B}. "Did I wake you up?"

{A} laughed and laughed. They had some hot milk together.
They both laughed and looked at the stars together.

@lesson_brave

@friends

== honey: A=animal B=animal
@meet

{A} loved honey more than anything.
There was nothing that {A} liked more than sweet honey.

One {day} {he} smelled honey in a tall tree.
One {sunny} {day} {A} found a tree with a lot of honey.

?@weather

{A} put {his} nose into the tree. Buzz! The bees were very {angry}.
But the bees lived there, and they did not like visitors.

{A} ran and ran and jumped into a pond.
The bees chased {A} all the way to the pond.

{His} friend {B} saw it. "Why are you so wet?" asked {B}.
A wise {B.kind} named {B} was sitting there. "What happened?" asked {B}.

"I only wanted some honey," said {A}.
"The bees will not give me any honey," said {A}.

--
"Did you ask them?" said {B}. "You must be polite."
"You should bring them something nice," said {B}.

So {A} picked a lot of flowers and went back to the tree.
The next day {A} planted flowers all around the tree.

"Dear bees, these flowers are for you," said {A}. "I am sorry."
"I am sorry I was rude," {A} told the bees. "I brought you flowers."

The bees were pleased and gave {A} a big pot of honey.
The bees danced around the flowers. Then they gave {him} some honey.

{A} shared the honey with {B}, and it was very sweet.
That evening {A} and {B} ate bread with honey.

@end

== crossing: A=animal B=animal fruit
@meet

On the other side of the river grew sweet {fruit}.
{A} could see many {fruit} on the other side of the river.

But the water was deep, and {A} could not swim.
But there was no bridge, and the river was wide.

{A} sat down on the grass and looked at the {fruit}.
"I will never get there," said {A}. {He} was {sad}.

Then {his} friend {B} came along. "What are you looking at?" asked {B}.
Then a {B.kind} named {B} stopped. "What is the matter?" asked {B}.

"I want to pick those {fruit}, but I cannot cross," said {A}.
"I would love some {fruit}," said {A}, "but the river is too deep."

--
"I know what to do," said {B}. "We can build a raft."
"Let us make a bridge," said {B}.

They [pulled|rolled] a big log to the river.
They tied some branches together with grass.

{A} was {scared} at first, but {B} went first.
"Hold on to me," said {B}. "I will not let you fall."

Step by step they came to the other side.
Slowly they crossed the water, and nobody got wet.

They ate {fruit} until they were full.
They picked a whole basket of {fruit}.

@thanks

@friends

== new_neighbor: A=animal B=animal treat
@meet

{A} was new in the forest and did not know anyone.
{A} had just moved into a hole under an old tree.

{He} was shy and stayed at home all day.
{He} saw the other animals play, but {he} was too shy to say hello.

"Nobody will like me," thought {A}.
{A} felt very lonely.

--
One {day} there was a knock at the door.
Then someone knocked softly on the door.

Outside stood a {B.kind} with a big {treat}. "My name is {B}," {B.he} said.
It was a {B.kind} named {B}. "I brought you a {treat}," {B.he} said.

"Is that {treat} for me?" asked {A}.
{A} did not know what to say. "Please come in," {he} said at last.

They sat down together and shared the {treat}.
{A} cut the {treat} in two, and they ate it together.

"Will you come and play with us?" asked {B}.
"I will show you the forest," said {B}.

Soon {A} knew all the animals and was not shy anymore.
{B} took {A} to meet the other animals, and they played all day.

@joy

@friends

== shy_singer: A=animal B=animal
@meet

{A} loved to sing, but only when nobody was there.
{A} had a lovely voice, but {he} was very shy.

One {day} {his} friend {B} heard {him} sing.
One {day} {A} was singing by a pond, and {his} friend {B} came by.

"You sing so well!" said {B}. "You must sing at the forest party."
"What a beautiful song!" said {B}. "Please sing for everyone."

"I cannot do that," said {A}. "I am too {scared}."
{A} shook {his} head. "They will laugh at me," {he} said.

--
"Just look at me when you sing," said {B}.
"I will stand next to you," said {B}.

The night of the party came, and all the animals were there.
Soon it was time for the party. The moon was big and round.

{A} stood in front of them. {His} knees were shaking.
{A} opened {his} mouth, but no sound came out.

Then {he} looked at {B}, and {B} smiled.
{B} took {his} paw and nodded.

{A} began to sing, first softly and then louder.
So {A} sang, and {his} voice was as clear as a bell.

When the song was over, everyone clapped and cheered.
Everyone was quiet. Then they all clapped.

@proud

@lesson_brave

== thorn: A=animal B=animal
@meet

One {day} {A} heard someone cry in the forest.
One {sunny} {day} {A} was picking mushrooms in the forest.

?@weather

Under a tree sat a big {B.kind} named {B}. {B.He} was crying.
There {he} met a {B.kind} named {B} who could not walk.

"What happened to you?" asked {A}.
{A} was a little {scared}, but {he} went closer. "Are you hurt?" {he} asked.

"I have a thorn in my paw," said {B}.
"Look at my paw," said {B}. "There is a thorn in it."

--
"Hold still," said {A}. "This will not take long."
"I can pull it out," said {A}. "Close your eyes."

{A} pulled with all {his} might, and out came the thorn.
One, two, three! {A} pulled out the thorn.

Then {he} washed the paw and put a leaf on it.
{A} cleaned the paw with cool water.

"It does not hurt anymore!" said {B}.
{B} stood up and took a few steps. "I can walk!" {B.he} said.

A few days later {A} fell into a deep hole and could not get out.
Then one night {A} got stuck in the mud.

{B} heard {him} call and pulled {him} out.
{B} came running and helped {A} at once.

"You helped me, and now I helped you," said {B}.
"That is what friends are for," said {B}.

@friends

== too_small: A=animal B=animal thing=treasure color
@meet

{A} was smaller than all the other animals.
{A} was so small that {he} could hide behind a leaf.

"You are too little to help," the others always said.
The others never asked {him} to play because {he} was so small.

One {day} a {B.kind} named {B} lost a {color} {thing}.
One {day} {B} came running. {B.He} had lost a {color} {thing}.

"It fell into a hole," said {B}. "Nobody can reach it."
"My {thing} rolled into a crack in the rock!" said {B}.

The others tried to get it, but they were all too big.
One after the other tried, but the hole was too small.

--
"Let me try," said {A}. "I am small enough."
"I can do it," said a small voice. It was {A}.

{A} crawled into the dark. {He} was {scared}, but {he} went on.
It was dark in there, but {A} was not {scared}.

Soon {he} came back with the {color} {thing}.
After a while {he} came out and held up the {color} {thing}.

"Hooray for {A}!" shouted the animals.
Everyone cheered and danced around {A}.

"You may be small, but your heart is big," said {B}.
"You are little and very brave," said {B}.

@proud

@friends
"""
