"""Words in folder names, in English and Spanish, in lower case and without accents."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS_OF_SPLITS = {
    "train": _words(
        "train training trainset trainval learn learning entrenamiento entrenar entrena entreno aprendizaje"
    ),
    "val": _words(
        "val valid validation validate validset valset dev devel development devset validacion validar desarrollo"
    ),
    "test": _words(
        """
        test testing tests testset eval evaluation evaluate holdout heldout evaluacion prueba pruebas testeo examen
        """
    ),
}

#: Which split a word names.
SPLIT_OF_WORD = {word: split for split, words in _WORDS_OF_SPLITS.items() for word in words}

#: Words that stand beside those and mean nothing: training_set, seg_train, images-test, conjunto de prueba.
WORDS_BESIDE = _words(
    """
    set sets data dataset datasets image images img imgs photo photos picture pictures pic pics sample samples folder
    folders split splits seg dir public private final new all the of de del la el los las y para datos conjunto foto
    fotos imagen imagenes muestra muestras carpeta
    """
)

#: Under what conditions, where and by whom photos are taken: folders with such names are hardly ever the classes.
CONDITION_WORDS = _words(
    """
    day night morning noon afternoon evening dawn dusk daylight dark light sunny cloudy rainy rain fog snow wet dry
    indoor indoors outdoor outdoors inside outside front back side rear top bottom left right north south east west near
    far summer winter spring autumn fall monday tuesday wednesday thursday friday saturday sunday january february march
    april may june july august september october november december week month year date batch part session camera cam
    site farm barn field plot place location room line shift machine phone device person user video clip fold round
    series set lot
    original originals augmented augmentation raw processed cropped resized full mask masks rgb ir nir infrared thermal
    depth color colour grayscale greyscale gray grey segmented annotated
    dia noche manana mediodia tarde madrugada soleado nublado lluvia interior exterior dentro fuera frente atras lado
    arriba abajo izquierda derecha norte sur este oeste oriente poniente cerca lejos verano invierno primavera otono
    lunes martes miercoles jueves viernes sabado domingo enero febrero marzo abril mayo junio julio agosto septiembre
    octubre noviembre diciembre semana mes ano fecha lote parte sesion camara sitio granja rancho establo corral campo
    aumentadas recortadas mascara
    parcela lugar cuarto linea turno maquina telefono celular pliegue ronda serie
    """
)
