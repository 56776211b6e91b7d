r"""Wikitext to plain text: what a reader of the page would read, without boxes, notes, tables and pictures.

    '''Cats''' ({{lang|la|felis}}) are [[animal]]s.<ref>Smith</ref>   →   Cats are animals.

mwparserfromhell makes a tree of the page. A walk over it writes down the text, and a mark for everything that is left out,
so that what that leaves behind can be mended: brackets with nothing in them, the space before a full stop, lines with nothing
else. Templates are not expanded: their wikitext is not in the page, and what most of them say is not prose.

    out    templates, notes, tables, galleries, files, categories, links to other languages, comments, empty sections
    in     the text of links; headings and items of lists, each a line of its own; code and formulas as they are written
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from typing import Any

from linnet.core.extras import need


def words(text: str) -> frozenset[str]:
    """What stands in a text between spaces."""
    return frozenset(text.split())


# Marks in the text that is being made. XML has no such characters, so no page has.
GONE = "\x00"  # something was left out here
ITEM = "\x01"  # an item of a list begins
HEADING = "\x02"  # behind it the level, one digit, and the heading
DEFINITION = "\x03"  # a line end, or nothing at the beginning of a line
AS_IT_IS = dict(zip(map(ord, "\n\t '(|_<[{"), map(chr, range(0x0E, 0x20)), strict=False))  # what code and formulas are kept by
AND_BACK = str.maketrans({made: chr(was) for was, made in AS_IT_IS.items()})
MARKS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")

LEFT_OUT = words(
    "ref references gallery table timeline score imagemap graph chart mapframe maplink templatestyles templatedata hiero inputbox style"
    " script includeonly section indicator categorytree rss video audio phonos"
)
CODE = frozenset(["pre", "syntaxhighlight", "source"])
FORMULA = frozenset(["math", "chem", "ce"])
BLOCKS = words("div p center blockquote ul ol dl poem h1 h2 h3 h4 h5 h6")
TAGS = (
    "abbr b bdi big blockquote br center cite code del div em font hr i includeonly ins kbd li noinclude nowiki ol onlyinclude p poem"
    " pre q ref references rp rt ruby s samp section small span strike strong sub sup table td th tr tt u ul var"
)

LOST_TAG = re.compile(rf"</?(?:{TAGS.replace(' ', '|')})(?:\s[^<>]*)?/?>", re.IGNORECASE)  # one that is never closed, or opened
LOST_QUOTES = re.compile(r"'{2,}")
SWITCH = re.compile(r"__[^\W\d_]+(?:_[^\W\d_]+)*__")  # __NOTOC__ and what it is in other languages
DEEPEST = 100  # levels of lost markup that are looked through
LOST_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
LOST_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")
LOST_TABLE = re.compile(r"^[\x00\x01:* #]*\{\|(?:(?!^[\x00:* #]*\{\|).)*?^[\x00 ]*\|\}", re.MULTILINE | re.DOTALL)
LOST_ROW = re.compile(r"^[\x00\x01 ]*(?:\||\{\|)")

# "(; born 1900)", "(Latin: )", "( )" where something between the brackets was left out
SEPARATING = r"[ \x00,;:，；：、]*"
EMPTY_BRACKETS = re.compile(rf" ?[(（]{SEPARATING}\x00{SEPARATING}[)）]")
AFTER_BRACKET = re.compile(rf"([(（]) ?\x00{SEPARATING}")
BEFORE_BRACKET = re.compile(r"(?<![ \x00,;，；、])[ \x00,;，；、]*\x00 ?([)）])")  # looked for once from the first of them on
DOUBLE_POINT = re.compile(r"[,;:，；：][ \x00]*\x00 ?(?=[.,;:，；：])")
FIRST_POINT = re.compile(r"^([\x01 ]*)\x00[ \x00]*[.,;:，；：]+(?!\w) ?", re.MULTILINE)
ONLY_GONE = re.compile(r"^ ?\x00[ \x00]*(?:\n|\Z)", re.MULTILINE)
BEFORE_POINT = re.compile(r"(?<![ \x00])[ \x00]*\x00 ?(?=[.,)\]»”’]|$)| \x00(?=[;:!?])", re.MULTILINE)
GONE_BETWEEN = re.compile(r" ?\x00[ \x00]*")
MANY_GONE = re.compile(r" ?\x00[ \x00]*\x00")
SPACES = re.compile(r"[ \t\xa0\u2000-\u200a\u202f]+")

FILES = frozenset(["file", "image", "media"])  # in every MediaWiki, beside the names of its own language
CATEGORIES = frozenset(["category"])
FILE_NAME = re.compile(
    r"\.(?:jpe?g|png|svg|gif|webp|tiff?|xcf|og[gav]|webm|mp[34]|mpe?g|midi?|wav|flac|opus|pdf|djvu|stl)$", re.IGNORECASE
)
# Wikipedias by the prefix of their links (https://meta.wikimedia.org/wiki/List_of_Wikipedias)
LANGUAGES = words(
    "aa ab ace ady af ak als alt am ami an ang ann anp ar arc ary arz as ast atj av avk awa ay az azb ba ban bar bat-smg bbc bcl bdr be"
    " be-tarask be-x-old bew bg bh bi bjn blk bm bn bo bpy br bs btm bug bxr ca cbk-zam cdo ce ceb ch cho chr chy ckb co cr crh cs csb cu"
    " cv cy da dag de dga din diq dsb dtp dty dv dz ee el eml en eo es et eu ext fa fat ff fi fiu-vro fj fo fon fr frp frr fur fy ga gag gan"
    " gcr gd gl glk gn gom gor got gpe gsw gu guc gur guw gv ha hak haw he hi hif ho hr hsb ht hu hy hyw hz ia iba id ie ig igl ii ik ilo"
    " inh io is it iu ja jam jbo jv ka kaa kab kbd kbp kcg kg kge ki kj kk kl km kn knc ko koi kr krc ks ksh ku kus kv kw ky la lad lb lbe"
    " lez lfn lg li lij lld lmo ln lo lrc lt ltg lv lzh mad mai map-bms mdf mg mh mhr mi min mk ml mn mni mnw mos mr mrj ms mt mus mwl my"
    " myv mzn na nah nan nap nds nds-nl ne new ng nia nl nn no nov nqo nr nrm nso nv ny oc olo om or os pa pag pam pap pcd pcm pdc pfl pi"
    " pih pl pms pnb pnt ps pt pwn qu rm rmy rn ro roa-rup roa-tara rsk ru rue rup rw sa sah sat sc scn sco sd se sg sgs sh shi shn si"
    " simple sk skr sl sm smn sn so sq sr srn ss st stq su sv sw syl szl szy ta tay tcy tdd te tet tg th ti tig tk tl tly tn to tpi tr trv"
    " ts tt tum tw ty tyv udm ug uk ur uz ve vec vep vi vls vo vro wa war wo wuu xal xh xmf yi yo yue za zea zgh zh zh-classical"
    " zh-min-nan zh-yue zu"
)


class Plain:
    """Makes plain text of wikitext.

    files, categories   what the wiki calls these namespaces, beside the English names: "Datei", "Kategorie"
    """

    def __init__(self, files: Iterable[str] = (), categories: Iterable[str] = ()) -> None:
        self.parser = need("mwparserfromhell", extra="sources", to="read wikitext")
        self.hidden = FILES | CATEGORIES | LANGUAGES | {name.casefold() for name in (*files, *categories) if name}
        nodes = self.parser.nodes
        self.writers: dict[type, Callable[[Any], str]] = {
            nodes.Text: lambda node: self.bare(str(node.value)),
            nodes.HTMLEntity: self.entity,
            nodes.Wikilink: self.link,
            nodes.ExternalLink: self.external,
            nodes.Heading: lambda node: f"\n{HEADING}{node.level}{self.walk(node.title)}\n",
            nodes.Tag: self.tag,
        }

    def __call__(self, wikitext: str) -> str:
        """The plain text of a page: paragraphs, headings and lists, with an empty line between them; "" if nothing is left."""
        wikitext = MARKS.sub("", wikitext.replace("\r\n", "\n"))
        try:
            code = self.parser.parse(wikitext)
        except self.parser.parser.ParserError:  # quotes that its tokenizer cannot pair: then they are taken for text
            code = self.parser.parse(wikitext, skip_style_tags=True)
        return laid_out(mended(self.unparsed(self.walk(code))))

    def walk(self, code: Any) -> str:
        """The text of a part of the tree, with marks."""
        found: list[str] = []
        for node in code.nodes:
            text = self.writers.get(type(node), _gone)(node)
            if text == DEFINITION:  # the indent of a line, or the second half of "; term : what it means"
                text = "" if not found or found[-1].endswith(("\n", ITEM)) else "\n"
            if text:
                found.append(text)
        return "".join(found)

    def bare(self, text: str) -> str:
        """Text between all markup, without the markup in it that never began or ended."""
        text = LOST_TAG.sub(GONE, LOST_QUOTES.sub("", text)) if "'" in text or "<" in text else text
        return SWITCH.sub(lambda found: GONE if found[0].isupper() else found[0], text) if "__" in text else text

    def entity(self, node: Any) -> str:
        """&nbsp; and the like; "" for the number of no character."""
        return MARKS.sub("", html.unescape(str(node))).replace("\ufffd", "")

    def link(self, node: Any) -> str:
        """[[target|text]]."""
        if self.is_hidden(str(node.title)):
            return GONE
        if node.text is not None and str(node.text).strip():
            return self.walk(node.text)
        return self.walk(node.title).strip().removeprefix(":")

    def is_hidden(self, target: str) -> bool:
        """Whether a link to it is a picture, a category, or this page in another language."""
        prefix, colon, rest = target.strip().partition(":")
        prefix = prefix.strip().replace("_", " ").casefold()
        return bool(colon and prefix and (prefix in self.hidden or FILE_NAME.search(rest.strip())))

    def unparsed(self, text: str) -> str:
        """Text without the templates, links and tables that the parser left, mostly for some quotes that are never closed;
        from the innermost one out."""

        def link(found: re.Match[str]) -> str:
            target, _, shown = found[1].partition("|")
            return GONE if self.is_hidden(target) else shown or target.strip().removeprefix(":")

        for _ in range(DEEPEST):
            before = text
            text = LOST_TABLE.sub(GONE, LOST_LINK.sub(link, LOST_TEMPLATE.sub(GONE, text)))
            if text == before:
                break
        return text

    def external(self, node: Any) -> str:
        """[address text], or an address by itself."""
        if node.title is not None and str(node.title).strip():
            return self.walk(node.title)
        return GONE if node.brackets else str(node.url)

    def tag(self, node: Any) -> str:
        """An element, written as a tag or as markup: '' * # : ; ---- {|."""
        name = str(node.tag).strip().lower()
        if name in LEFT_OUT:
            return GONE
        if node.wiki_markup and name == "li":
            return ITEM
        if node.wiki_markup and name in ("dd", "dt"):
            return DEFINITION
        if name == "br":
            return "\n"
        if name == "hr":
            return "\n\n"
        if node.contents is None or node.self_closing:
            return GONE
        if name in CODE:
            text = str(node.contents) if name != "pre" else html.unescape(str(node.contents))
            text = MARKS.sub("", text).strip("\n").translate(AS_IT_IS)
            return text if node.has("inline") else f"\n\n{text}\n\n"
        if name in FORMULA:
            return " ".join(str(node.contents).split()).translate(AS_IT_IS)
        if name == "nowiki":
            return MARKS.sub("", html.unescape(str(node.contents))).translate(AS_IT_IS)
        text = self.walk(node.contents)
        if name == "li":
            return f"\n{ITEM}{text}"
        if name in ("dd", "dt"):
            return f"\n{text}"
        return f"\n\n{text}\n\n" if name in BLOCKS else text


def _gone(node: Any) -> str:
    return GONE


def mended(text: str) -> str:
    """Text without the marks of what was left out, and without what that left behind."""
    text = MANY_GONE.sub(lambda found: f" {GONE}" if " " in found[0] else GONE, SPACES.sub(" ", text))
    text = EMPTY_BRACKETS.sub("", text)
    text = AFTER_BRACKET.sub(r"\1", text)
    text = BEFORE_BRACKET.sub(r"\1", text)
    text = ONLY_GONE.sub("", text)
    text = FIRST_POINT.sub(r"\1", text)
    text = DOUBLE_POINT.sub("", text)
    text = BEFORE_POINT.sub("", text)
    return GONE_BETWEEN.sub(lambda found: " " if " " in found[0] else "", text)


def laid_out(text: str) -> str:
    """Lines without needless white space, at most one empty line between two, headings between empty lines; a heading with
    nothing under it is left out."""
    lines: list[str] = []
    headings: list[tuple[int, str]] = []  # above the next text, not yet written
    for line in text.split("\n"):
        if LOST_ROW.match(line):
            continue
        line = line.strip(" ")
        if line.startswith(HEADING):
            level, title = int(line[1]), line[2:].strip(" ")
            while headings and headings[-1][0] >= level:
                headings.pop()
            headings.append((level, title))
            continue
        item = line.startswith(ITEM)
        line = line.lstrip(ITEM + " ").replace(ITEM, "").replace(HEADING, "")
        if not line:
            if lines and lines[-1] and not item:
                lines.append("")
            continue
        for _, title in headings:
            if title:
                lines += [title, ""] if not lines or not lines[-1] else ["", title, ""]
        headings.clear()
        lines.append(f"- {line}" if item else line)
    return "\n".join(lines).strip("\n").translate(AND_BACK)
