"""Words, texts and values to write files with: seeded, in several languages and the encodings those are written in."""

# ruff: noqa: E501, SIM905 - long literals
from __future__ import annotations

import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

_LANGUAGES = {
    "en": "price trade account market order customer table report value daily summary open close volume symbol "
          "the of and to in is that for with was on are this from which have been their would there company river",
    "de": "Größe Straße München Konto Überweisung Käufer Verkäufer für über Währung Prüfung jährlich Gebühr möglich "
          "und der die das nicht eine wird größer Köln Österreich Börse Öl Äpfel schön später",
    "fr": "marché société élève français où déjà être août reçu clôture coût modèle année quantité Montréal étage "
          "le la les des une avec pour façon garçon naïve œuvre forêt hôtel numéro",
    "es": "año señor mañana información número teléfono José García niño español cotización método área días también "
          "el la los para una con según corazón pingüino público",
    "pt": "ação preço não informação coração São João município técnico três você além órgão público câmbio mês",
    "pl": "złoty ilość śnieg żółć łódź książka przesyłka źródło więcej później wartość sprzedaż miesiąc ćwierć Łódź "
          "się że jest oraz będzie można też każdy również",
    "cs": "žluťoučký kůň příliš úpěl ďábelské ódy město účet částka dnešní řeka Plzeň měsíc třída věc již také může",
    "hu": "ügyfél számla összeg időpont érték árfolyam tőzsde fizetés gyűjtő kérdés és hogy nem egy volt több között",
    "ru": "цена рынок счёт заказ клиент таблица отчёт значение город Москва компания время человек который является "
          "и в на не что это для быть год также сумма дата номер",
    "uk": "ціна ринок рахунок замовлення клієнт таблиця звіт значення місто Київ компанія їжак є ґанок та що для рік",
    "el": "τιμή αγορά λογαριασμός παραγγελία πελάτης πίνακας έκθεση αξία πόλη Αθήνα εταιρεία χρόνος και το να είναι",
    "tr": "fiyat piyasa hesap sipariş müşteri değer şehir İstanbul şirket günlük özet ığdır çalışma için bir olarak",
    "he": "מחיר שוק חשבון הזמנה לקוח טבלה דוח ערך עיר ירושלים חברה זמן של את הוא על זה עם כל",
    "ar": "سعر سوق حساب طلب عميل جدول تقرير قيمة مدينة القاهرة شركة وقت في من على إلى هذا التي",
    "ja": "価格 市場 口座 注文 顧客 表 報告 価値 東京 会社 時間 の は です ます した データ ファイル です。 について 日本 株式 取引",
    "zh": "价格 市场 账户 订单 客户 表格 报告 价值 北京 公司 时间 的 是 在 了 数据 文件 我们 中国 股票 交易 今天 可以",
    "tw": "價格 市場 帳戶 訂單 客戶 表格 報告 價值 臺北 公司 時間 的 是 在 了 資料 檔案 我們 股票 交易 今天 可以",
    "ko": "가격 시장 계좌 주문 고객 표 보고서 가치 서울 회사 시간 의 는 입니다 데이터 파일 거래 주식 오늘 한국 에서 합니다",
}  # fmt: skip
WORDS = {language: text.split() for language, text in _LANGUAGES.items()}

_WESTERN = ("cp1252", "cp1252", "latin-1", "iso8859-15")
ENCODINGS = {
    **dict.fromkeys(("de", "fr", "es", "pt"), _WESTERN),
    **dict.fromkeys(("pl", "cs", "hu"), ("cp1250", "iso8859-2")),
    "ru": ("cp1251", "koi8-r"),
    "uk": ("cp1251",),
    "el": ("cp1253", "iso8859-7"),
    "tr": ("cp1254",),
    "he": ("cp1255",),
    "ar": ("cp1256",),
    "ja": ("shift_jis", "euc_jp"),
    "zh": ("gb18030",),
    "tw": ("big5",),
    "ko": ("euc_kr",),
}
"""Encodings of old files in a language, besides the Unicode ones."""


def language(rng: Random) -> str:
    return "en" if rng.random() < 0.6 else rng.choice(list(WORDS))


def words(rng: Random, count: int, lang: str = "en") -> str:
    joiner = "" if lang in ("ja", "zh", "tw") else " "
    return joiner.join(rng.choice(WORDS[lang]) for _ in range(count))


def sentence(rng: Random, lang: str = "en") -> str:
    text = words(rng, rng.randint(5, 18), lang)
    return text[:1].upper() + text[1:] + rng.choice([".", ".", ".", "!", "?", ","])


_KEYS = ("id name type data time level message event status value properties geometry version host timestamp hostname pid "
         "stream log attributes a b c x y key price date symbol text url code title description count tags user items "
         "links meta errors service region amount currency").split()  # fmt: skip


def name(rng: Random) -> str:
    """Of a column or key."""
    if rng.random() < 0.4:
        return rng.choice(_KEYS)
    parts = [rng.choice(WORDS["en"]) for _ in range(rng.randint(1, 2))]
    style = rng.randrange(4)
    if style == 0:
        return "_".join(parts)
    if style == 1:
        return parts[0] + "".join(part.capitalize() for part in parts[1:])
    return "_".join(parts).upper() if style == 2 else " ".join(part.capitalize() for part in parts)


def names(rng: Random, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        made = name(rng)
        found.append(made if made not in found else f"{made}{len(found)}")
    return found


def moment(rng: Random) -> datetime:
    start = datetime(1990, 1, 1, tzinfo=UTC)
    return start + timedelta(
        seconds=rng.randrange(36 * 365 * 86400), microseconds=rng.choice([0, rng.randrange(10**6)])
    )


def token(rng: Random, length: int = 8, alphabet: str = string.ascii_uppercase + string.digits) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


def _number(rng: Random) -> str:
    return f"{rng.lognormvariate(3, 3):.{rng.randint(0, 6)}f}"


def value_kinds(lang: str) -> list[Callable[[Random], str]]:
    """Makers of values, one per kind of column."""
    return [
        lambda r: str(r.randint(0, 10 ** r.randint(1, 9))),
        lambda r: str(r.randint(-1000, 1000)),
        _number,
        _number,
        lambda r: f"{r.uniform(0, 500):.2f}",
        lambda r: moment(r).strftime("%Y-%m-%d"),
        lambda r: moment(r).strftime("%d/%m/%Y"),
        lambda r: moment(r).strftime("%Y-%m-%d %H:%M:%S"),
        lambda r: moment(r).isoformat(),
        lambda r: moment(r).strftime("%Y%m%d"),
        lambda r: token(r, r.randint(2, 6)),
        lambda r: words(r, 1, lang),
        lambda r: words(r, r.randint(1, 3), lang),
        lambda r: words(r, r.randint(4, 12), lang),
        lambda r: r.choice(["true", "false"]),
        lambda r: r.choice(["Y", "N", ""]),
        lambda r: f"{token(r, 5).lower()}@{token(r, 6).lower()}.com",
        lambda r: f"https://{token(r, 6).lower()}.org/{token(r, 4).lower()}?id={r.randint(1, 99)}",
        lambda r: (
            f"{token(r, 8, string.hexdigits)}-{token(r, 4, string.hexdigits)}-{token(r, 12, string.hexdigits)}".lower()
        ),
        lambda r: f"{r.uniform(0, 100):.1f}%",
        lambda r: f"${r.randint(1, 999)},{r.randint(100, 999)}",
        lambda r: f"{r.randint(1, 255)}.{r.randint(0, 255)}.{r.randint(0, 255)}.{r.randint(1, 254)}",
        lambda r: r.choice(["", "NULL", "N/A", "x"]),
        lambda r: f"{r.randint(0, 23):02}:{r.randint(0, 59):02}",
    ]


def table(rng: Random, lang: str = "en", *, rows: int | None = None, columns: int | None = None) -> list[list[str]]:
    """Names, then rows of texts."""
    width = columns or (rng.randint(2, 12) if rng.random() < 0.9 else rng.randint(13, 80))
    kinds = [rng.choice(value_kinds(lang)) for _ in range(width)]
    height = rows or (rng.randint(1, 60) if rng.random() < 0.8 else rng.randint(60, 600))
    return [names(rng, width), *([kind(rng) for kind in kinds] for _ in range(height))]


def tree(rng: Random, lang: str = "en", depth: int = 3) -> object:
    """A value as JSON, YAML and MessagePack know it."""
    kind = rng.random()
    if depth and kind < 0.25:
        return record(rng, lang, depth - 1)
    if depth and kind < 0.4:
        return [tree(rng, lang, depth - 1) for _ in range(rng.randint(0, 5))]
    makers: list[Callable[[], object]] = [
        lambda: rng.randint(-(10**6), 10**9), lambda: round(rng.lognormvariate(2, 3), 4), lambda: rng.random() < 0.5,
        lambda: None, lambda: words(rng, rng.randint(1, 4), lang), lambda: sentence(rng, lang),
        lambda: moment(rng).isoformat(), lambda: token(rng), lambda: "",
    ]  # fmt: skip
    return rng.choice(makers)()


def record(rng: Random, lang: str = "en", depth: int = 2) -> dict[str, object]:
    return {key: tree(rng, lang, depth) for key in names(rng, rng.randint(1, 8))}
