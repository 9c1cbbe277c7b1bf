"""The quality of a telephone call that a link would carry: an estimate by ITU-T G.107, the E-model (pure).

R = Ro - Is - Id - Ie,eff + A with the default values of G.107 (06/2015), table 2, so that a path without
delay and loss has R = 93.2 and a mean opinion score of 4.41. Assumed, as nothing on a link tells it:

- codec G.711 with packet loss concealment: Ie 0, Bpl 25.1 (ITU-T G.113, Appendix I);
- loss at random (BurstR 1), as measured by the round trips of the batch, both ways for each way;
- one-way delay: half of the median round trip, and BUFFER_MS for a packet of 20 ms and a jitter buffer
  of 40 ms; what the buffer would drop is not known and not counted;
- no advantage (A 0): what is heard, not what is forgiven.
"""

from __future__ import annotations

import math

IE, BPL = 0.0, 25.1
"""Equipment impairment and robustness to loss of G.711 with concealment (ITU-T G.113, Appendix I)."""
BUFFER_MS = 60.0
"""A packet of 20 ms and a jitter buffer of 40 ms, added to half of the round trip."""
ASSUMPTIONS = (
    f"MOS: an estimate by ITU-T G.107 for G.711 with concealment (Ie {IE:g}, Bpl {BPL:g}), random loss,"
    f" delay rtt/2 + {BUFFER_MS:g} ms"
)

_SLR, _RLR = 8.0, 2.0
"""Loudness ratings, dB."""
_NO = -61.18
"""Power addition of the noise sources at their defaults, dBm0p."""
_IS = 1.41
"""Simultaneous impairment at the defaults."""
_TELR, _WEPL = 65.0, 110.0
"""Talker echo loudness rating and weighted echo path loss, dB."""
_RO = 15 - 1.5 * (_SLR + _NO)


def estimate(rtt_us: int, lost: int, sent: int) -> float | None:
    """Mean opinion score, 1 to 4.5, for a median round trip in µs; None without round trips."""
    if sent <= 0:
        return None
    return score(rating(rtt_us / 2000 + BUFFER_MS, 100 * min(lost, sent) / sent))


def rating(delay_ms: float, loss_percent: float) -> float:
    """R for a one-way delay and a share of lost packets (G.107, equation 7-1)."""
    return _RO - _IS - _delay_impairment(delay_ms) - _loss_impairment(loss_percent)


def score(r: float) -> float:
    """The mean opinion score that R stands for (G.107, Annex B)."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6, 1.0)


def _loss_impairment(percent: float) -> float:
    """Ie,eff at random loss (equation 7-29)."""
    return IE + (95 - IE) * percent / (percent + BPL)


def _delay_impairment(t_ms: float) -> float:
    """Id of talker echo, listener echo and absolute delay (equations 7-18 to 7-28), T = Ta = Tr / 2."""
    terv = _TELR - 40 * math.log10((1 + t_ms / 10) / (1 + t_ms / 150)) + 6 * math.exp(-0.3 * t_ms**2)
    roe, re = -1.5 * (_NO - _RLR), 80 + 2.5 * (terv - 14)
    talker = ((roe - re) / 2 + math.sqrt((roe - re) ** 2 / 4 + 100) - 1) * (1 - math.exp(-t_ms))
    rle = 10.5 * (_WEPL + 7) * math.pow(2 * t_ms + 1, -0.25)
    listener = (_RO - rle) / 2 + math.sqrt((_RO - rle) ** 2 / 4 + 169)
    return talker + listener + _too_long(t_ms)


def _too_long(ta_ms: float) -> float:
    """Idd: what a delay over 100 ms costs even without echo (equations 7-27 and 7-28)."""
    if ta_ms <= 100:
        return 0.0
    x = math.log2(ta_ms / 100)
    return 25 * (math.pow(1 + x**6, 1 / 6) - 3 * math.pow(1 + (x / 3) ** 6, 1 / 6) + 2)
