"""Letters of other alphabets that look like Latin ones: the usual ones of Unicode TS 39, in lower case."""

_PAIRS = (
    ("аеорсухіјѕԁԛԝһкмтвнгпиґѵյօոսհ", "aeopcyxijsdqwhkmtbhrnurvjonuh"),  # Cyrillic and Armenian
    ("αβεικνορτυχγωηκϲϳ", "abeikvoptuxywnkcj"),  # Greek
    ("ᎪᎬᎢᏀᎻᎫᏦᏞᎷᎾᏢᎡᏚᏙᎳᏃ", "aetghjklmoprsvwz"),  # Cherokee
)

LOOKALIKES = str.maketrans(
    {other: latin for others, latins in _PAIRS for other, latin in zip(others, latins, strict=True)}
)

_SMALL_CAPITALS = dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢɑɡɩ", "abcdefghijklmnoprstuvwyzagi", strict=True))

LATIN = str.maketrans(
    {
        **_SMALL_CAPITALS,
        **{
            chr(first + offset): chr(ord("a") + offset)
            for first in (0x1F130, 0x1F150, 0x1F170, 0x1F1E6)  # squared, circled on black, squared on black, flags
            for offset in range(26)
        },
    }
)
"""Other shapes of Latin letters, which Unicode does not know as compatibility forms: small capitals, letters in boxes."""

STROKES = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "ё": "е"}
)
"""What remains of letters when their accents are taken off, where Unicode knows no decomposition."""
