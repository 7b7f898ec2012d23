{# Rows of a source, as its contract in models/staging/app/sources.yml has them: the table itself where
   that is of its columns and types, as one that `load` fills; else a query that casts. So a table of
   somebody's own may have numbers or UUIDs as ids, nulls, times as text, other names (the aliases),
   and lack what is optional. Rows without what is required are left out, as `load` quarantines them.
   A time that the whole table lacks is that of the user's first event, where the contract says so.

   {{ source_rows('events') }}                  all columns
   {{ source_rows('events', ['user_id']) }}     some of them #}

{% macro source_rows(name, columns=none) %}
    {%- set relation = source('raw', name) -%}
    {%- if not execute -%} {{- return(relation) -}} {%- endif -%}
    {%- set there = _columns_there(relation) -%}
    {%- set contract = _source_node(name).columns.values() | list -%}
    {%- if _is_as_contracted(contract, there) -%} {{- return(relation) -}} {%- endif -%}
    {{- return(_cast_rows(relation, contract, columns or contract | map(attribute='name') | list, there)) -}}
{% endmacro %}

{# Whether there is no table yet, or one of the contract's columns and types. #}
{% macro _is_as_contracted(contract, there) %}
    {%- set other = [] -%}
    {%- for column in contract if there.get(column.name) != column.data_type -%}
        {#- An older release had another scale. #}
        {%- if not (column.data_type.startswith('Decimal') and there.get(column.name, '').startswith('Decimal')) -%}
            {%- do other.append(column.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(not there or not other) -}}
{% endmacro %}

{# The columns of a table that stand for one of the contract: the first is taken. #}
{% macro _their_names(column, there) %}
    {%- set meta = column.config.meta or column.meta or {} -%}
    {{- return(([column.name] + (meta.aliases or [])) | select('in', there) | list) -}}
{% endmacro %}

{% macro _source_node(name) %}
    {%- for node in graph.sources.values() if node.source_name == 'raw' and node.name == name -%}
        {{- return(node) -}}
    {%- endfor -%}
{% endmacro %}

{# Name to type; nothing where there is no table yet. #}
{% macro _columns_there(relation) %}
    {%- set rows = run_query(
        "select name, type from system.columns where database = '" ~ escape_literal(relation.schema)
        ~ "' and table = '" ~ escape_literal(relation.identifier) ~ "'"
    ).rows -%}
    {%- set found = {} -%}
    {%- for row in rows -%} {%- do found.update({row[0]: row[1]}) -%} {%- endfor -%}
    {{- return(found) -}}
{% endmacro %}

{# Pure Jinja from here on, but for the error. #}
{% macro _cast_rows(relation, contract, wanted, there) %}
    {%- set lines = [] -%}
    {%- set required = [] -%}
    {%- set joined = [] -%}
    {%- for column in contract -%}
        {%- set meta = column.config.meta or column.meta or {} -%}
        {%- set names = _their_names(column, there) -%}
        {%- if not names and meta.else_first -%}
            {%- do joined.append(_first_of(meta.else_first)) -%}
        {%- endif -%}
        {%- set is_required = not (meta.optional or meta.derived) -%}
        {%- set type = escape_literal(column.data_type) -%}
        {%- if meta.default is defined -%}
            {%- set default = "cast('" ~ escape_literal(meta.default ~ '') ~ "', '" ~ type ~ "')" -%}
        {%- else -%}
            {%- set default = "defaultValueOfTypeName('" ~ type ~ "')" -%}
        {%- endif -%}
        {%- if names -%}
            {%- set value = cast_to_contract('theirs.`' ~ names[0] ~ '`', there[names[0]], column.data_type) -%}
            {%- if is_required -%} {%- do required.append(value) -%} {%- endif -%}
            {%- set sql = 'assumeNotNull(' ~ value ~ ')' if is_required else 'ifNull(' ~ value ~ ', ' ~ default ~ ')' -%}
        {%- elif meta.else_first -%}
            {%- do required.append('treehouse_first') -%}
            {%- set sql = 'assumeNotNull(treehouse_first)' -%}
        {%- elif meta.derived -%}
            {%- set row = 'hex(sipHash128(tuple(theirs.*)))' -%}
            {%- set sql = "concat(" ~ row ~ ", '-', toString(row_number() over (partition by " ~ row ~ ')))' -%}
        {%- elif meta.optional -%}
            {%- set sql = default -%}
        {%- else -%}
            {{- exceptions.raise_compiler_error(
                relation ~ ' has no column ' ~ ([column.name] + (meta.aliases or [])) | join(' or ') ~ '. It has '
                ~ there | join(', ') ~ '. Make a view of it that has one, and name that view in the var.'
            ) -}}
        {%- endif -%}
        {%- if column.name in wanted -%}
            {%- do lines.append("cast(" ~ sql ~ ", '" ~ type ~ "') as " ~ column.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {#- By the table's alias: else the engine takes our column of that name, which has no nulls. #}
    {%- set conditions = [] -%}
    {%- for value in required -%} {%- do conditions.append('isNotNull(' ~ value ~ ')') -%} {%- endfor -%}
    {{- return(
        '(select ' ~ lines | join(', ') ~ ' from ' ~ relation ~ ' as theirs' ~ joined | join ~ ' where ' ~ conditions | join(' and ')
        ~ ')'
    ) -}}
{% endmacro %}

{# Values of somebody's own table that would be read as another one, or not at all, without a word:
   their source, column and number, and one of them. An amount whose name does not say USD is of the
   row's currency, as for `load`. #}
{% macro misread_values(name) %}
    {%- set relation = source('raw', name) -%}
    {%- set nothing = "select '' as source, '' as name, toUInt64(0) as misread, '' as example where 0" -%}
    {%- if not execute -%} {{- return(nothing) -}} {%- endif -%}
    {%- set there = _columns_there(relation) -%}
    {%- set node = _source_node(name) -%}
    {%- set contract = node.columns.values() | list -%}
    {%- if _is_as_contracted(contract, there) -%} {{- return(nothing) -}} {%- endif -%}
    {%- set parts = [] -%}
    {%- for column in contract -%}
        {%- set names = _their_names(column, there) -%}
        {%- if names -%}
            {%- set theirs = 'theirs.`' ~ names[0] ~ '`' -%}
            {%- set cast_value = cast_to_contract(theirs, there[names[0]], column.data_type) -%}
            {%- if not column.data_type.startswith('Map') -%}
                {%- set wrong = "trimBoth(ifNull(toString(" ~ theirs ~ "), '')) != '' and isNull(" ~ cast_value ~ ')' -%}
                {%- do parts.append(_counted_values(name, names[0], theirs, wrong, relation)) -%}
            {%- endif -%}
            {%- set currencies = ['currency', 'currency_code'] | select('in', there) | list -%}
            {%- if column.name == node.config.meta.money and currencies and 'usd' not in names[0] -%}
                {%- set theirs = 'theirs.`' ~ currencies[0] ~ '`' -%}
                {%- set wrong = "upper(trimBoth(ifNull(toString(" ~ theirs ~ "), ''))) not in ('', 'USD')" -%}
                {%- do parts.append(_counted_values(name, currencies[0], theirs, wrong, relation)) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(parts | join(' union all ') or nothing) -}}
{% endmacro %}

{% macro _counted_values(source, column, value, wrong, relation) %}
    {{- return(
        'select ' ~ text_literal(source) ~ ' as source, ' ~ text_literal(column) ~ ' as name, count() as misread, '
        ~ 'toString(any(' ~ value ~ ')) as example from ' ~ relation ~ ' as theirs where ' ~ wrong ~ ' having misread > 0'
    ) -}}
{% endmacro %}

{# A join with the first time at which another source knows the user of a row. #}
{% macro _first_of(first) %}
    {{- return(
        ' left join (select ' ~ first.by ~ ' as treehouse_by, minOrNull(' ~ first.column ~ ') as treehouse_first'
        ~ ' from ' ~ source_rows(first.source, [first.by, first.column]) ~ ' group by treehouse_by) as firsts'
        ~ ' on toString(theirs.`' ~ first.by ~ '`) = firsts.treehouse_by'
    ) -}}
{% endmacro %}

{# What texts look like that are read, as in training/treehouse/ingest/parse.py: the engine's own
   parsers take "1.234.567" for 1.234567, "10" for a tenth and "01/02/2024" for a day in February. #}
{% macro _text_patterns() %}
    {%- set day = '([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}/[0-9]{2}/[0-9]{2}|[0-9]{8})' -%}
    {%- set clock = '([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?' -%}
    {%- set offset = '[+-]((0[0-9]|1[0-3])(:?[0-5][0-9])?|14(:?00)?)' -%}
    {{- return({
        'number': '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$',
        'whole': '^[+-]?[0-9]+([.]0*)?$',
        'epoch': '^([0-9]{9,10}|[0-9]{13}|[0-9]{16}|[0-9]{19})([.][0-9]+)?$',
        'time': '^' ~ day ~ '([T ]' ~ clock ~ '( ?(Z|UTC|' ~ offset ~ '))?)?$',
    }) -}}
{% endmacro %}

{# SQL of a value in the contract's type, which may still be null: what can't be read is. Money goes
   by its text, for a Float64 of 2.3 times a million is 2299999.9999999995. #}
{% macro cast_to_contract(value, type, wanted) %}
    {%- set is_text = 'String' in type -%}
    {%- set shown = 'trimBoth(toString(' ~ value ~ '))' -%}
    {%- set patterns = _text_patterns() -%}
    {%- if wanted.startswith('DateTime64') -%}
        {%- if is_text -%}
            {%- set epoch = _epoch_to_time('toFloat64OrNull(' ~ shown ~ ')') -%}
            {%- set parsed = 'parseDateTime64BestEffortOrNull(' ~ shown ~ ", 3, 'UTC')" -%}
            {{- return(
                'multiIf(match(' ~ shown ~ ", '" ~ patterns.epoch ~ "'), " ~ epoch ~ ', match(' ~ shown ~ ", '" ~ patterns.time ~ "'), "
                ~ parsed ~ ', null)'
            ) -}}
        {%- elif 'Int' in type or 'Float' in type -%}
            {{- return(_epoch_to_time(value)) -}}
        {%- endif -%}
        {{- return('toDateTime64(' ~ value ~ ", 3, 'UTC')") -}}
    {%- elif wanted.startswith('Map') -%}
        {%- if is_text and not type.startswith('Map') -%}
            {{- return("JSONExtract(ifNull(toString(" ~ value ~ "), ''), 'Map(String, String)')") -}}
        {%- endif -%}
        {{- return('cast(' ~ value ~ ", 'Map(String, String)')") -}}
    {%- elif 'String' in wanted -%}
        {{- return('toString(' ~ value ~ ')') -}}
    {%- elif 'Float' in type and 'Int' in wanted -%}
        {{- return('accurateCastOrNull(round(' ~ value ~ "), '" ~ wanted ~ "')") -}}
    {%- elif is_text -%}
        {%- set pattern = patterns.whole if 'Int' in wanted else patterns.number -%}
        {%- set number = 'replaceRegexpOne(' ~ shown ~ ", '[.]0*$', '')" if 'Int' in wanted else shown -%}
        {{- return('if(match(' ~ shown ~ ", '" ~ pattern ~ "'), accurateCastOrNull(" ~ number ~ ", '" ~ wanted ~ "'), null)") -}}
    {%- endif -%}
    {{- return('accurateCastOrNull(toString(' ~ value ~ "), '" ~ wanted ~ "')") -}}
{% endmacro %}

{# A number since 1970: its size tells whether it counts s, ms, us or ns. #}
{% macro _epoch_to_time(value) %}
    {{- return(
        'fromUnixTimestamp64Milli(toInt64(multiIf(abs(' ~ value ~ ') >= 1e17, ' ~ value ~ ' / 1e6, abs(' ~ value
        ~ ') >= 1e14, ' ~ value ~ ' / 1e3, abs(' ~ value ~ ') >= 1e11, ' ~ value ~ ', ' ~ value
        ~ " * 1000)), 'UTC')"
    ) -}}
{% endmacro %}
