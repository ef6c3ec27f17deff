"""library: the upstream icon library becomes a table of records that one may train on.

Belongs here: reading one upstream state (`source`), what its licences allow (`licences`, `audit`,
`credits`), one row an icon with the reason when it is left out (`manifest`, `rules`, `curation`), which
icons are near-duplicates (`shape`, `families`, `split`), and the curator's gallery (`gallery`). Does not
belong here: drawing SVG (the probes come in as arguments), captions, storage, anything of Dagster.

Modules are imported one by one by those who need them; importing this package costs nothing.
"""
