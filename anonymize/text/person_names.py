"""Personal names in Chinese and English text.

jieba is used without its global tokenizer: that one writes a cache into the temporary folder and logs to the
console (law 3: nothing is written outside the vault). The dictionary is read from the installed package; building
takes about 1.2 s and 70 MB once per process.
"""

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

with warnings.catch_warnings():
    # jieba imports pkg_resources where setuptools has it, which warns; jieba falls back by itself.
    warnings.simplefilter("ignore")
    import jieba  # type: ignore[import-untyped]
    import jieba.posseg  # type: ignore[import-untyped]

jieba.setLogLevel(logging.ERROR)

_SINGLE = (
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏窦章苏潘葛奚范彭郎鲁韦昌马苗凤花方俞任袁柳酆鲍史唐"
    "费廉岑薛雷贺倪汤滕殷罗毕郝邬安常乐于时傅皮卞齐康伍余元顾孟黄穆萧尹姚邵湛汪祁毛禹狄米贝臧计伏成戴谈宋庞熊纪舒屈项祝董梁杜"
    "阮蓝闵席季麻强贾路娄危江童颜郭梅盛林刁钟徐邱骆高夏蔡田樊胡凌霍虞万支柯管卢莫房裘缪丁宣邓郁单杭洪包左石崔吉龚程嵇邢裴陆荣翁荀"
    "惠甄曲封储靳焦牧隗山谷车侯全班秋仲伊宫宁仇栾甘厉祖武符刘景詹龙叶幸司韶黎薄印白怀蒲邰鄂索赖卓蔺屠蒙池乔胥双闻党翟谭"
    "劳申扶堵冉宰雍桑桂濮牛寿通边扈燕冀浦尚农温庄晏柴瞿阎充慕连习艾鱼容向古易廖庾终居衡步都耿满弘匡国文寇广禄东欧利师巩聂晁敖"
    "冷辛阚那简饶曾沙养鞠丰巢关相查后荆红游竺权盖益桓公仝肖闫岳邸佟覃付代沐岩解芦"
)
_COMPOUND = (
    "欧阳|太史|端木|上官|司马|东方|独孤|南宫|夏侯|诸葛|尉迟|皇甫|公孙|慕容|令狐|长孙|宇文|司徒|轩辕|钟离|闾丘|鲜于|司空|呼延|"
    "百里|东郭|西门|澹台|公冶|宗政|濮阳|淳于|单于|申屠|公羊|赫连|完颜|拓跋|纳兰|耶律"
)
_SURNAME = rf"(?:{_COMPOUND}|[{_SINGLE}])"
_HAN = "[\u4e00-\u9fff]"
_ROLES = (
    "姓名|名字|联系人|驾驶员|驾驶人|司机|乘客|乘员|车主|操作员|采集员|采集人|安全员|记录人|记录员|负责人|审核人|标注员|标注人|签名|签字|"
    "收件人|寄件人|经办人|作者|测试员|工程师|值班员|责任人|报告人|行人|证人|当事人|填表人|审批人|我叫|名叫|叫做"
)
_TITLES = "先生|女士|小姐|老师|师傅|经理|工程师|主任|警官|医生|同学|同志|教授|博士|队长|总监|主管|司机|驾驶员"
_FOLLOWS = r"(?![\u4e00-\u9fff])"
_AFTER_NAME = (
    r"(?=[^\u4e00-\u9fff]|和|与|及|在|于|从|把|将|因|驾|说|报|负|的|已|电|手|身|证|担|进|发|操|接|$)"
)
_ENGLISH_ROLES = (
    r"driver|operator|passenger|contact(?: person)?|owner|author|annotator|reviewer|engineer|recorded by|signed by|"
    r"full name|person|tester|reported by|written by|name"
)
_CAPITALISED = r"(?-i:[A-ZÀ-Þ][\w'’\-]{1,24})"

_LABELLED_CHINESE = re.compile(
    rf"(?:{_ROLES})(?:姓名)?[ ]?(?:[:=]|是|为|叫|[ ]|\[|\()[ ]?(?P<v>{_SURNAME}{_HAN}{{1,3}}?){_AFTER_NAME}",
    re.MULTILINE,
)
_ROLE_ADJACENT = re.compile(rf"(?:{_ROLES})(?P<v>{_SURNAME}{_HAN}{{1,2}}?){_AFTER_NAME}", re.MULTILINE)
_TITLED_CHINESE = re.compile(rf"(?P<v>{_SURNAME}{_HAN}{{0,2}}?)(?:{_TITLES})")
_FOREIGN = re.compile(rf"{_HAN}{{2,6}}(?:·{_HAN}{{1,8}}){{1,3}}")
_SPACED_NAME = re.compile(
    rf"(?:姓名|联系人|驾驶员|司机)[ ]?:[ ]?(?P<v>{_SURNAME}(?:[ ]{_HAN}){{1,2}}){_FOLLOWS}"
)
_LABELLED_ENGLISH = re.compile(
    rf"\b(?:{_ENGLISH_ROLES})[ ]?(?:[:=]|is|-)[ \"']{{0,2}}(?P<v>{_CAPITALISED}(?:[ ](?:{_CAPITALISED}|(?-i:[A-Z]\.))){{1,3}})",
    re.IGNORECASE,
)
_TITLED_ENGLISH = re.compile(
    rf"\b(?-i:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Monsieur|Madame)\.?[ ](?P<v>{_CAPITALISED}(?:[ ]{_CAPITALISED}){{0,2}})",
    re.IGNORECASE,
)
_EXPRESSIONS = (
    ("name_labelled", _LABELLED_CHINESE, 0.85),
    ("name_labelled", _SPACED_NAME, 0.85),
    ("name_titled", _TITLED_CHINESE, 0.6),
    ("name_foreign", _FOREIGN, 0.6),
    ("name_english", _LABELLED_ENGLISH, 0.75),
    ("name_english", _TITLED_ENGLISH, 0.75),
)
_HAN_RUN = re.compile(rf"{_HAN}{{2,}}")
_STARTS_WITH_SURNAME = re.compile(_SURNAME)
_NAME_TAGS = frozenset({"nr", "nrfg"})
_NOT_NAMES = frozenset(
    "方向盘 高速 高架 高德 高清 高精 高低 高度 万向 成都 常用 于是 向东 向西 向南 向北 时速 时间 路人 路口 路面 马路 金属 安全 车道 车辆 "
    "车速 车灯 车窗 车门 车身 车牌 白天 白线 白色 黄线 黄色 黄灯 红灯 红色 蓝色 温度 连续 通过 相机 相对 公里 国道 左转 左侧 双向 单向 全景 包含 "
    "关闭 满载 解放 东风 吉利 广汽 雷达 边界 麻烦 万里 石头 江淮 毛发 元素 明显 宁静 方便 乐观 丰富 和平 安静 任务 程序 计数 计算 印象 谈话 "
    "花纹 华为 夏利 沙尘 伏击 白昼 雷雨 云雾 文件 文本 项目 支持 莫名 全程 向左 向右 单元 单车 毕竟 曾经 终点 边线 别克 路肩 施工 施救 管制 封闭 "
    "封路 易滑 冷光 谷歌 石墩 田野 牛羊 马匹 鱼眼 金融 满屏 平稳 暴雨 小雨 大雨 阵雨 晴朗".split()
)


NAME_RULES_DIGEST = hashlib.sha256(
    "\n".join(
        [f"{rule} {score} {expression.pattern}" for rule, expression, score in _EXPRESSIONS]
        + [_ROLE_ADJACENT.pattern, *sorted(_NAME_TAGS), *sorted(_NOT_NAMES)]
    ).encode()
).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundName:
    """A half-open span of folded text, the rule that found it and the confidence."""

    start: int
    end: int
    rule: str
    score: float


class NameFinder:
    """Finds names; immutable after construction, so that threads may share it."""

    def __init__(self) -> None:
        tokenizer = jieba.Tokenizer()
        with tokenizer.get_dict_file() as dictionary:
            tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(dictionary)
        tokenizer.initialized = True
        self._tagger: Any = jieba.posseg.POSTokenizer(tokenizer)

    def find(self, text: str) -> Iterator[FoundName]:
        """Names by introducing words and titles, then by part of speech."""
        for rule, expression, score in _EXPRESSIONS:
            for match in expression.finditer(text):
                start, end = match.span("v") if "v" in expression.groupindex else match.span()
                if text[start:end] not in _NOT_NAMES:
                    yield FoundName(start=start, end=end, rule=rule, score=score)
        yield from self._adjacent(text)
        for run in _HAN_RUN.finditer(text):
            yield from self._by_part_of_speech(run.group(), run.start())

    def _adjacent(self, text: str) -> Iterator[FoundName]:
        """Names that directly follow a role without a separator, unless they are words of the dictionary."""
        for match in _ROLE_ADJACENT.finditer(text):
            name = match["v"]
            tag = self._tagger.word_tag_tab.get(name, "nr")
            if name not in _NOT_NAMES and tag in _NAME_TAGS and not self._is_sentence(name):
                yield FoundName(start=match.start("v"), end=match.end("v"), rule="name_adjacent", score=0.6)

    def _is_sentence(self, name: str) -> bool:
        return any(word.flag[0] in "pcdu" for word in self._tagger.cut(name))

    def _by_part_of_speech(self, run: str, offset: int) -> Iterator[FoundName]:
        words = list(self._tagger.cut(run))
        position = offset
        for index, word in enumerate(words):
            start, position = position, position + len(word.word)
            if (
                word.flag not in _NAME_TAGS
                or not _STARTS_WITH_SURNAME.match(word.word)
                or word.word in _NOT_NAMES
            ):
                continue
            if 2 <= len(word.word) <= 4:
                yield FoundName(start=start, end=position, rule="name_tagged", score=0.55)
            elif len(word.word) == 1 and index + 1 < len(words):
                given = words[index + 1]
                if (
                    len(given.word) <= 2
                    and given.flag in _NAME_TAGS
                    and word.word + given.word not in _NOT_NAMES
                ):
                    yield FoundName(start=start, end=position + len(given.word), rule="name_split", score=0.5)
