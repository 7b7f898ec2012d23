{# What must be there before the first model: tables that hold state, and the SQL functions. #}

{% macro create_state() %}
    {% if execute %}
        {% set raw = var('raw_database') %}
        {% set registry = var('registry_database') %}
        {% set owned = [] %}
        {% for source in graph.sources.values() if source.schema == raw %}
            {% do owned.append(source_table(source)) %}
        {% endfor %}
        {% do run_statements(source_ddl(raw, owned)) %}
        {% do run_statements(load_state_ddl(raw)) %}
        {% set engine = var('state_engine') %}
        {% set cluster = adapter.get_clickhouse_cluster_name() or '' %}
        {% set results = var('result_cache').database %}
        {% for ddl in (registry_ddl, experiments_ddl) %}
            {% do run_statements(ddl(registry, dictionary_reader(registry), engine, cluster)) %}
        {% endfor %}
        {% for ddl in (runs_ddl, trials_ddl, monitoring_ddl, tiering_ddl, turns_ddl) %}
            {% do run_statements(ddl(registry, engine, cluster)) %}
        {% endfor %}
        {% do run_statements(result_store_ddl(
            results, var('cache_admission_horizon_seconds'), dictionary_reader(results)
        )) %}
        {% do expect_dictionaries(registry, results) %}
    {% endif %}
{% endmacro %}

{# What source_ddl() takes, from a source of dbt's graph. #}
{% macro source_table(source) %}
    {% set columns = [] %}
    {% for column in source.columns.values() %}
        {% do columns.append({
            'name': column.name, 'type': column.data_type, 'comment': column.description,
        }) %}
    {% endfor %}
    {% set meta = source.config.meta or source.meta %}
    {{ return({
        'name': source.identifier, 'columns': columns,
        'order_by': meta.order_by, 'time': meta.time, 'grows': source.source_name == 'engine',
    }) }}
{% endmacro %}

{# As whom a dictionary reads its tables, as in training/treehouse/clickhouse/ddl.py; but never with a password, which dbt
   would write into its log: none then, and ./treehouse makes those dictionaries before dbt runs. #}
{% macro dictionary_reader(database) %}
    {% if not adapter.config.credentials.password %}
        {{ return('') }}
    {% endif %}
    {% if database in ('treehouse_registry', 'treehouse_results') and has_dictionary_user() %}
        {{ return("user 'treehouse_dictionaries'") }}
    {% endif %}
    {{ return(none) }}
{% endmacro %}

{# Whether the install's user for dictionaries is there; who may not see users has a right on it. #}
{% macro has_dictionary_user() %}
    {% set grants = run_query('show grants final').columns[0].values() | join('; ') %}
    {% if 'SHOW ACCESS' in grants or 'SHOW USERS' in grants or 'GRANT ALL ON *.*' in grants %}
        {% set there = "select count() from system.users where name = 'treehouse_dictionaries'" %}
        {{ return(run_query(there).columns[0].values()[0] | int > 0) }}
    {% endif %}
    {{ return('SET DEFINER ON treehouse_dictionaries' in grants) }}
{% endmacro %}

{% macro expect_dictionaries(registry, results) %}
    {% set found = run_query(
        "select count() from system.dictionaries where (database, name) in (('" ~ registry ~ "', 'champions'), ('"
        ~ registry ~ "', 'bundles'), ('" ~ registry ~ "', 'assignment_log'), ('" ~ results ~ "', 'answers'))"
    ).columns[0].values()[0] %}
    {% if found | int < 4 %}
        {% do exceptions.raise_compiler_error(
            "The registry's dictionaries are missing, and dbt alone would write their password into its log. "
            ~ "Run ./treehouse --target server build once; or let an operator install again: "
            ~ "./treehouse install --print brings a user without a password for them."
        ) %}
    {% endif %}
{% endmacro %}

{% macro escape_literal(value) %}
    {{ return(value | replace('\\', '\\\\') | replace("'", "\\'")) }}
{% endmacro %}

{% macro run_statements(script) %}
    {% for statement in script.split(';\n') if statement.strip() %}
        {% do run_query(statement.strip()) %}
    {% endfor %}
{% endmacro %}
