-- No value of a table of one's own is read as another one, or not at all, without a word.
{{ config(meta={
    'fix': 'see which values: ./treehouse dbt --quiet show --select sources_are_read; then name a view '
        ~ 'of the table that has them as numbers, as ISO times, and in USD'
}) }}
{{ misread_values('events') }}
union all
{{ misread_values('installs') }}
union all
{{ misread_values('purchases') }}
